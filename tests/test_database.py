"""The database: constraints, connections, and the statements of a request."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from order_statuses import database
from order_statuses.database import CHANGE_TAG, db, read
from order_statuses.models import (
    Base,
    ChangeTag,
    Key,
    Status,
    StatusText,
    Store,
    StoreText,
    User,
)

from .conftest import service, statements_of

NOT_SET_UP = {
    "message": "Service Unavailable: The database is not set up yet.",
    "status": 503,
}


@pytest.fixture
def empty_app(empty_database: str) -> Iterator[Flask]:
    """The service on a database that was never initialised."""
    with service(empty_database) as app:
        yield app


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_database_that_was_never_initialised_is_503(
    empty_app: Flask, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    response = empty_app.test_client().open("/api/2.0/statuses", method=method)

    assert (response.status_code, response.json) == (503, NOT_SET_UP)
    assert "flask order-statuses init" in caplog.text


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_database_without_a_change_tag_is_503(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    with app.app_context():
        db.session.query(ChangeTag).delete()
        db.session.commit()

    response = client.open("/api/2.0/statuses/1", method=method, data="description=x")

    assert (response.status_code, response.json) == (503, NOT_SET_UP)
    assert "flask order-statuses init" in caplog.text


@pytest.mark.parametrize(
    ("table", "values"),
    [
        (Status, {"type": "O", "status": "P", "is_default": "N", "params": {}}),
        (Status, {"type": "O", "status": "A", "is_default": "X", "params": {}}),
        (Status, {"type": None, "status": "A", "is_default": "N", "params": {}}),
        (StatusText, {"status_id": 99, "lang_code": "en"}),
        (StatusText, {"status_id": 1, "lang_code": "en"}),
        (StoreText, {"status_id": 1, "store_id": 99, "lang_code": "en"}),
        (User, {"email": "one@shop.example", "is_active": True}),
        (User, {"email": "new@shop.example", "is_active": True, "store_id": 99}),
        (Key, {"key_hash": "x", "user_id": 99}),
        (ChangeTag, {"change_tag_id": 2, "tag": "x"}),
    ],
)
def test_database_itself_refuses_what_does_not_fit(
    app: Flask, table: type[Base], values: dict[str, Any]
) -> None:
    with app.app_context(), pytest.raises(IntegrityError):
        db.session.execute(insert(table).values(values))


def test_store_with_users_is_not_deleted(app: Flask) -> None:
    with app.app_context(), pytest.raises(IntegrityError):
        db.session.execute(db.delete(Store))


def test_connections_wait_for_writers_and_survive_crashes(app: Flask) -> None:
    pragmas = {
        "journal_mode": "wal",
        "synchronous": 2,  # FULL
        "foreign_keys": 1,
        "busy_timeout": 15000,
    }
    with app.app_context(), db.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            found = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in pragmas
            }
            assert found == pragmas
        else:
            shown = connection.exec_driver_sql("SHOW synchronous_commit").scalar()
            assert shown == "on"


def test_writers_see_what_others_have_written(databases: Any, database: str) -> None:
    if databases.kind == "PostgreSQL":  # SQLite has one writer at a time
        database += "&options=-c%20default_transaction_isolation%3Dserializable"
    with service(database) as app, app.app_context():
        read(CHANGE_TAG, {})  # by the same connection, outside transactions
        level = db.session.connection().get_isolation_level()

    assert (
        level
        == {"PostgreSQL": "READ COMMITTED", "SQLite": "SERIALIZABLE"}[databases.kind]
    )


@pytest.mark.parametrize(
    "change",
    [{"description": "x"}, {"is_default": "N"}, {"params": {"color": "#000000"}}],
)
def test_update_of_a_field_is_at_most_four_statements(
    app: Flask, client: FlaskClient, change: dict[str, Any]
) -> None:
    with statements_of(app) as statements:
        client.put("/api/2.0/statuses/2", json=change)

    assert len(statements) <= 4  # caller, lock, status, change


def test_update_does_not_rewrite_what_did_not_change(
    app: Flask, client: FlaskClient
) -> None:
    with statements_of(app) as statements:
        client.put("/api/2.0/statuses/2", json={"description": "x", "is_default": "Y"})

    written = [s.partition(" SET ")[0].partition(" (")[0] for s in statements[3:]]
    assert written == ["INSERT INTO order_statuses_text"]


def test_every_write_takes_the_lock_and_renews_the_tag(
    app: Flask, client: FlaskClient
) -> None:
    def tag() -> str | None:
        with app.app_context():
            return db.session.scalar(select(ChangeTag.tag))

    tags = [tag()]
    for method, address in [
        ("POST", "/statuses"),
        ("PUT", "/statuses/1"),
        ("PUT", "/stores/1/statuses/1"),
        ("DELETE", "/statuses/3"),
    ]:
        with statements_of(app) as statements:
            client.open(
                f"/api/2.0{address}", method=method, data="description=x&email_subj=x"
            )
        assert statements[1].startswith("UPDATE order_statuses_change_tag")
        tags.append(tag())

    assert len(set(tags)) == 5


def test_refused_write_leaves_no_trace(app: Flask, client: FlaskClient) -> None:
    def everything() -> list[Any]:
        with app.app_context(), db.engine.connect() as connection:
            tables = Base.metadata.sorted_tables
            return [connection.execute(select(table)).all() for table in tables]

    before = everything()

    client.post("/api/2.0/statuses", json={"description": ""})
    client.put("/api/2.0/statuses/1", json={"description": "x", "type": 1, "params": 1})
    client.put("/api/2.0/stores/1/statuses/1", json={"email_subj": "x\n"})
    client.delete("/api/2.0/statuses/1")

    assert everything() == before


def test_database_is_named_without_its_password() -> None:
    url = "postgresql://shop:secret-1@db.example/statuses?password=secret-2&port=5433"
    with service(url) as app, app.app_context():
        assert database.name() == "postgresql://shop:***@db.example/statuses?port=5433"
