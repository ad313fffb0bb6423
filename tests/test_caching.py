"""Cached responses: a warm read is one statement, and never stale."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Table, delete, insert, select, text

from order_statuses.auth import Caller
from order_statuses.caching import Cache, Entry
from order_statuses.database import db
from order_statuses.models import Base, Status, StatusText, Store, StoreText

from .conftest import (
    ADMINISTRATOR,
    BOUND,
    client_of,
    service,
    settings_of,
    statements_of,
)

COMPLETE = "/api/2.0/statuses/2"
READS = [
    "/api/2.0/statuses",
    "/api/2.0/statuses?type=G&lang_code=ru&page=1&items_per_page=2",
    "/api/2.0/statuses/1",
    "/api/2.0/stores/1/statuses",
    "/api/2.0/stores/1/statuses/1",
    "/api/2.0/stores",
    "/api/2.0/stores/1",
    "/api/statuses",
]


def description(client: FlaskClient) -> str:
    shown: Any = client.get(COMPLETE).json
    return str(shown["description"])


def etag(client: FlaskClient, address: str = COMPLETE) -> str:
    return client.get(address).headers["ETag"]


def describe(client: FlaskClient, description: str) -> None:
    changed = client.put(COMPLETE, json={"description": description})
    assert changed.status_code == 200


@pytest.mark.parametrize(
    "address", [*READS, "/api/2.0/statuses?status=P&params[repay]=N"]
)
def test_warm_read_is_one_statement(
    app: Flask, client: FlaskClient, address: str
) -> None:
    with statements_of(app) as cold:
        first = client.get(address)
    with statements_of(app) as warm:
        second = client.get(address)

    assert 2 <= len(cold) <= 3
    assert len(warm) == 1
    assert (first.data, first.headers) == (second.data, second.headers)


def test_read_is_one_statement_for_a_caller_whom_the_shop_knows(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = Caller("reader")
    monkeypatch.setitem(settings_of(app), "ORDER_STATUSES_IDENTIFY", lambda: caller)
    client = app.test_client()
    client.get(COMPLETE)

    with statements_of(app) as warm:
        client.get(COMPLETE)

    assert len(warm) == 1


def test_not_modified_is_one_statement(app: Flask, client: FlaskClient) -> None:
    headers = {"If-None-Match": etag(client)}

    with statements_of(app) as warm:
        response = client.get(COMPLETE, headers=headers)

    assert (response.status_code, len(warm)) == (304, 1)


def test_large_database_takes_no_more_statements(
    app: Flask, client: FlaskClient
) -> None:
    languages = [f"l{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(50)]
    with app.app_context():
        new = [{"type": "O", "status": letter} for letter in "AEGHJKLMQRSUVWXYZ"]
        db.session.execute(insert(Status).values(is_default="N", params={}), new)
        db.session.execute(
            insert(Store), [{"store_id": n, "name": "Store"} for n in range(3, 300)]
        )
        status_ids = list(db.session.scalars(select(Status.status_id)))
        keys = [{"status_id": s, "lang_code": c} for s in status_ids for c in languages]
        db.session.execute(insert(StatusText).values(description="Text"), keys)
        stores = [
            {"status_id": 2, "lang_code": "en", "store_id": n} for n in range(1, 300)
        ]
        db.session.execute(insert(StoreText).values(email_subj="Own"), stores)
        db.session.commit()

    with statements_of(app) as cold:
        listed: Any = client.get("/api/2.0/stores/299/statuses").json

    assert len(listed) == 24
    assert listed[1]["email_subj"] == "Own"
    assert len(cold) == 3


@pytest.fixture
def other_process(database: str) -> Iterator[tuple[FlaskClient, FlaskClient]]:
    """Clients of two services, which know nothing of each other, on one database."""
    with service(database) as one, service(database) as other:
        yield client_of(one, ADMINISTRATOR), client_of(other, ADMINISTRATOR)


def test_what_another_process_wrote_is_read(
    other_process: tuple[FlaskClient, FlaskClient],
) -> None:
    reader, writer = other_process
    for number in range(20):
        describe(writer, f"Number {number}")

        assert description(reader) == f"Number {number}"
        assert description(reader) == f"Number {number}"


def test_new_store_is_seen(app: Flask, client: FlaskClient) -> None:
    client.get("/api/2.0/stores")

    app.test_cli_runner().invoke(args=["order-statuses", "add-store", "3", "Third"])

    assert len(client.get("/api/2.0/stores").json or []) == 3
    assert client.get("/api/2.0/stores/3/statuses").status_code == 200


def test_refused_write_leaves_response_and_etag(
    app: Flask, client: FlaskClient
) -> None:
    before = client.get(COMPLETE)

    client.put(COMPLETE, json={"description": "x", "params": {"color": "red"}})

    with statements_of(app) as warm:
        after = client.get(COMPLETE)
    assert (after.data, after.headers) == (before.data, before.headers)
    assert len(warm) == 1  # the token is the old one


def test_text_of_another_store_leaves_my_etag(
    client: FlaskClient, bound_client: FlaskClient
) -> None:
    common, mine = etag(client), etag(bound_client)

    client.put("/api/2.0/stores/2/statuses/2", data="email_subj=test")
    assert (etag(client), etag(bound_client)) == (common, mine)

    client.put("/api/2.0/stores/1/statuses/2", data="email_subj=test")
    assert etag(client) == common
    assert etag(bound_client) != mine


def test_callers_share_no_responses(app: Flask, client: FlaskClient) -> None:
    client.put("/api/2.0/stores/1/statuses/2", data="email_subj=test")

    shown = [
        client_of(app, email).get(COMPLETE).json for email in (BOUND, ADMINISTRATOR)
    ]

    assert [s["email_subj"] for s in shown if s] == ["test", "has been completed"]


def test_restored_database_is_read(
    app: Flask, client: FlaskClient, rows: dict[Table, list[dict[str, Any]]]
) -> None:
    with app.app_context(), db.engine.connect() as connection:
        tables = Base.metadata.sorted_tables
        backup = {t: connection.execute(select(t)).mappings().all() for t in tables}
    old = client.get(COMPLETE).json
    describe(client, "Changed")
    assert description(client) == "Changed"

    with app.app_context(), db.engine.begin() as connection:
        for table in reversed(backup):
            connection.execute(delete(table))
        for table in filter(backup.get, backup):
            connection.execute(insert(table), [dict(row) for row in backup[table]])

    assert client.get(COMPLETE).json == old
    describe(client, "Changed again")
    assert description(client) == "Changed again"


def test_rows_changed_by_hand_show_when_the_time_is_over(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(seconds=0.2)
    monkeypatch.setattr(app.extensions["order_statuses"], "cache", cache)
    description(client)
    with app.app_context():
        db.session.execute(text("UPDATE order_statuses_text SET description = 'x'"))
        db.session.commit()

    time.sleep(0.25)

    assert description(client) == "x"
    assert Cache().entries.ttl <= 60


def test_shop_that_writes_through_its_own_session_is_read(
    app: Flask, client: FlaskClient
) -> None:
    description(client)
    with app.app_context():
        db.get_or_404(StatusText, (2, "en")).description = "Updated"
        db.session.commit()
    assert description(client) == "Updated"

    with app.app_context():
        db.session.delete(db.get_or_404(StatusText, (2, "en")))
        db.session.flush()
        db.session.add(StatusText(status_id=2, lang_code="en", description="Added"))
        db.session.commit()
    assert description(client) == "Added"


@pytest.mark.parametrize("operation", ["added", "changed", "deleted"])
def test_row_that_a_shop_touches_alone_renews_the_tag(
    app: Flask, client: FlaskClient, operation: str
) -> None:
    address = "/api/2.0/stores/2/statuses/2"
    key = {"status_id": 2, "store_id": 2, "lang_code": "en"}
    if operation != "added":
        client.put(address, json={"email_subj": "Old"})
    before = etag(client, address)
    with app.app_context():
        if operation == "deleted":
            db.session.delete(db.get_or_404(StoreText, key))
        else:
            db.session.merge(StoreText(**key, email_subj="New"))
        db.session.commit()

    assert etag(client, address) != before


def test_shop_renews_the_tag_once_a_transaction(app: Flask) -> None:
    with app.app_context(), statements_of(app) as statements:
        for status in db.session.scalars(select(Status)):
            status.is_default = "N"
            db.session.flush()
        db.session.commit()

    renewals = [
        s for s in statements if s.startswith("UPDATE order_statuses_change_tag")
    ]
    assert len(renewals) == 1


def test_shop_that_rolls_a_savepoint_back_is_read(
    app: Flask, client: FlaskClient
) -> None:
    description(client)
    with app.app_context():
        english = db.get_or_404(StatusText, (2, "en"))
        savepoint = db.session.begin_nested()
        english.description = "Never"
        db.session.flush()
        savepoint.rollback()
        english.description = "Kept"
        db.session.commit()

    assert description(client) == "Kept"


def test_two_applications_share_nothing(databases: Any, template: str) -> None:
    urls = [databases.create(template) for _ in range(2)]
    with service(urls[0]) as one, service(urls[1]) as other:
        clients = [client_of(app, ADMINISTRATOR) for app in (one, other)]
        describe(clients[0], "In one")

        assert [description(client) for client in clients] == ["In one", "Complete"]
    for url in urls:
        databases.drop(url)


def test_threads_never_read_backwards(app: Flask) -> None:
    def write(_: int) -> list[int]:
        client = client_of(app, ADMINISTRATOR)
        for number in range(60):
            describe(client, str(number))
        return []

    def read(_: int) -> list[int]:
        client = client_of(app, ADMINISTRATOR)
        return [int(description(client)) for _ in range(200)]

    describe(client_of(app, ADMINISTRATOR), "0")
    with ThreadPoolExecutor(5) as threads:
        writing = threads.submit(write, 0)
        for seen in threads.map(read, range(4)):
            assert seen == sorted(seen)
        writing.result()

    assert description(client_of(app, ADMINISTRATOR)) == "59"


def test_cache_is_bounded_in_bytes_and_number() -> None:
    cache = Cache(size=1_000_000)
    for number in range(10_000):
        cache.store(number, Entry(b"x", [], ""))
    assert len(cache.entries) <= 500

    cache.store("large", Entry(b"x" * 900_000, [], ""))
    assert len(cache.entries) <= 50

    cache.store("large header", Entry(b"", [("Link", "x" * 900_000)], ""))
    assert len(cache.entries) <= 50

    cache.store("too large", Entry(b"x" * 1_000_000, [], ""))
    assert cache.get("too large") is None


def test_long_queries_are_not_kept(app: Flask, client: FlaskClient) -> None:
    cache = app.extensions["order_statuses"].cache
    client.get(f"{COMPLETE}?x={'y' * 4000}")

    assert max(len(repr(key)) for key in cache.entries) < 300


def test_what_a_shop_reads_before_it_goes_on_writing_is_not_kept(
    app: Flask, client: FlaskClient
) -> None:
    with app.app_context():
        english = db.get_or_404(StatusText, (2, "en"))
        for number in ("One", "Two"):
            english.description = number
            db.session.flush()
            assert description(client) == number  # in the session of the shop
        db.session.commit()

    assert description(client) == "Two"
