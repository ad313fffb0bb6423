"""The statuses as a file: export, apply and init."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from multiprocessing.connection import wait
from pathlib import Path
from threading import Thread, current_thread, main_thread
from typing import Any

import psutil
import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import (
    Column,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    func,
    insert,
    select,
)

from order_statuses import writing
from order_statuses.config import database_url
from order_statuses.database import CHANGE_TAG, db, name
from order_statuses.models import Key, Status, StatusText, Store, StoreText, User
from order_statuses.schemas import STATUS_LETTERS

from .conftest import (
    ADMINISTRATOR,
    Databases,
    PostgresDatabases,
    SqliteDatabases,
    client_of,
    service,
    settings_of,
    watching,
)
from .embedding import Wheel, build_shop, clean_environment, migrate, mount
from .servers import SECONDS, wait_until
from .test_commands import run

Json = dict[str, Any]

DRY_RUN = "dry run: nothing was changed\n"
NEW: Json = {"type": "O", "status": "Z", "texts": {"en": {"description": "New"}}}


def export(app: Flask) -> str:
    exported = run(app, "export")
    assert exported.exit_code == 0
    text: str = exported.stdout
    return text


def apply(app: Flask, file: object, *options: str) -> Any:
    """Apply a file, or text, from standard input."""
    text = file if isinstance(file, str | bytes) else json.dumps(file)
    arguments = ["order-statuses", "apply", "-", *options]
    return app.test_cli_runner().invoke(args=arguments, input=text)


def init(url: str, file: str, path: Path) -> str:
    """Return what is exported after ``init FILE`` on an empty database."""
    path.write_text(file, encoding="utf-8")
    with service(url) as app:
        assert run(app, "init", str(path)).exit_code == 0
        return export(app)


def change_tag(app: Flask) -> str | None:
    with app.app_context():
        return db.session.scalar(CHANGE_TAG)


def change(client: FlaskClient) -> None:
    """Change the default statuses by the API in every way that it has."""
    new = {
        "description": "Packed",
        "email_header": "<b>\u2028</b>",
        "params": {"z": ""},
    }
    client.post("/api/2.0/statuses", json=new)
    client.post("/api/2.0/statuses", json={"type": "G", "description": "Gone"})
    client.put("/api/2.0/statuses/2?lang_code=ru", json={"description": "Готов"})
    order = {"params": {"repay": None, "a.b": "1"}, "is_default": "N"}
    client.put("/api/2.0/statuses/1", json=order)
    client.put("/api/2.0/statuses/1", json={"params": {"repay": "N"}})
    client.put("/api/2.0/stores/2/statuses/2", json={"email_subj": "in store 2"})
    client.put("/api/2.0/stores/1/statuses/2", json={"email_subj": "x"})
    client.put("/api/2.0/stores/1/statuses/2", json={"email_subj": None})
    client.delete("/api/2.0/statuses/3")
    client.delete("/api/2.0/statuses/12")


@pytest.fixture
def file(app: Flask) -> Json:
    """The default statuses, with a second store, as a file."""
    exported: Json = json.loads(export(app))
    return exported


def of(file: Json, letter: str) -> Any:
    """Return the order status with that letter."""
    (found,) = (
        status
        for status in file["statuses"]
        if (status["type"], status["status"]) == ("O", letter)
    )
    return found


def test_export_is_canonical(app: Flask) -> None:
    text = export(app)
    exported = json.loads(text)

    assert text == json.dumps(exported, ensure_ascii=False, indent=2) + "\n"
    assert [(s["type"], s["status"]) for s in exported["statuses"]] == sorted(
        (s["type"], s["status"]) for s in exported["statuses"]
    )
    assert (
        of(exported, "P")
        == {"position": 0}
        | json.loads(Path("seed.json").read_text(encoding="utf-8"))["statuses"][0]
    )


def test_export_is_of_one_moment_while_others_write(app: Flask, tmp_path: Path) -> None:
    client, file, numbers = client_of(app, ADMINISTRATOR), tmp_path / "file", count()

    def change_all(number: int) -> None:
        changes = {"position": number, "description": f"Text {number}"}
        client.put("/api/2.0/statuses/2", json=changes)
        client.post("/api/2.0/statuses", json={"description": f"New {number}"})
        run(app, "add-user", f"user{number}@shop.example")

    def write(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        # A bound, since an export that waits for silence would never end.
        is_export = current_thread() is main_thread()
        if is_export and "FROM order" in statement and (number := next(numbers)) < 8:
            other = Thread(target=change_all, args=(number,))  # its own session
            other.start()
            other.join()

    with watching(app, "before_cursor_execute", write):
        assert run(app, "export", str(file), "--users").exit_code == 0

    exported = json.loads(file.read_text())
    complete, letters = of(exported, "C"), {s["status"] for s in exported["statuses"]}
    assert complete["position"] == 0
    assert complete["texts"]["en"]["description"] == "Text 0"
    assert letters & {"A", "E", "G"} == {"A"}
    assert len(exported["users"]) == 3


def test_file_has_none_of_the_limits_of_a_request(
    app: Flask, client: FlaskClient, empty_database: str, tmp_path: Path
) -> None:
    numbers, file = range(3, 1_004), str(tmp_path / "file")
    text = {"status_id": 2, "lang_code": "en", "email_subj": "in a store"}
    with app.app_context(), db.engine.begin() as connection:
        for model, rows in {
            Store: [{"store_id": n, "name": "Store"} for n in numbers],
            StoreText: [text | {"store_id": n} for n in numbers],
            Key: [{"user_id": 1, "key_hash": f"{n:064x}"} for n in numbers],
        }.items():
            connection.execute(insert(model), rows)
    run(app, "export", file, "--users")

    with service(empty_database) as moved:
        done = [run(moved, "init", file), run(moved, "apply", file, "--users")]
        run(moved, "export", f"{file}2", "--users")

    assert [command.exit_code for command in done] == [0, 0]
    assert Path(f"{file}2").read_bytes() == Path(file).read_bytes()


def test_empty_text_is_exported_and_none_is_not(
    app: Flask, client: FlaskClient
) -> None:
    client.put("/api/2.0/statuses/2?lang_code=ru", json={"email_subj": ""})
    for text in ("x", None):
        client.put("/api/2.0/stores/1/statuses/2", json={"email_subj": text})
    client.put("/api/2.0/stores/1/statuses/2", json={"email_header": ""})

    exported = of(json.loads(export(app)), "C")

    assert exported["texts"]["ru"]["email_subj"] == ""
    assert exported["store_texts"] == {"1": {"en": {"email_header": ""}}}


def test_statuses_survives_a_move(
    app: Flask, client: FlaskClient, empty_database: str, tmp_path: Path
) -> None:
    change(client)
    text = export(app)

    assert init(empty_database, text, tmp_path / "file") == text


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_statuses_survives_a_move_between_databases(
    app: Flask, client: FlaskClient, kind: str, tmp_path: Path, postgres: str
) -> None:
    others: Databases = (
        SqliteDatabases(tmp_path) if kind == "sqlite" else PostgresDatabases(postgres)
    )
    change(client)
    text = export(app)
    url = others.create()

    assert init(url, text, tmp_path / "file") == text
    others.drop(url)


def test_ids_go_on_after_a_move(
    client: FlaskClient, app: Flask, empty_database: str, tmp_path: Path
) -> None:
    change(client)
    init(empty_database, export(app), tmp_path / "file")

    with service(empty_database) as moved:
        run(moved, "add-user", ADMINISTRATOR)
        created = apply(
            moved,
            {
                "stores": [],
                "statuses": [
                    NEW,
                    NEW | {"status": "Y", "status_id": 40},
                ],
            },
        )
        ids = {row["status_id"] for row in json.loads(export(moved))["statuses"]}

    assert created.exit_code == 0
    assert {13, 40, 41} <= ids


@pytest.mark.parametrize("has_statuses", [True, False])
def test_id_of_a_deleted_status_is_not_used_again_after_a_move(
    app: Flask,
    client: FlaskClient,
    empty_database: str,
    tmp_path: Path,
    has_statuses: bool,
) -> None:
    for status_id in (12, 13):
        client.post("/api/2.0/statuses", json={"description": "Packed"})
        client.delete(f"/api/2.0/statuses/{status_id}")
    run(app, "export", str(tmp_path / "file"), "--users")
    moved = json.loads((tmp_path / "file").read_text())
    moved |= {} if has_statuses else {"statuses": []}
    init(empty_database, json.dumps(moved), tmp_path / "file")

    with service(empty_database) as other:
        run(other, "apply", str(tmp_path / "file"), "--users")
        new = {"description": "Packed"}
        created = client_of(other, ADMINISTRATOR).post("/api/2.0/statuses", json=new)

    assert moved["last_status_id"] == 13
    assert created.get_json()["status_id"] == "14"


def test_apply_ignores_the_last_id(app: Flask, client: FlaskClient, file: Json) -> None:
    file["statuses"].append(NEW)
    applied = apply(app, file | {"last_status_id": 10**18})
    too_large = apply(app, file | {"last_status_id": 10**18 + 1})

    assert applied.stdout == "created O Z 'New'\nunchanged: 11\napplied\n"
    assert of(json.loads(export(app)), "Z")["status_id"] == 12
    assert "last_status_id: Must be greater than or equal to 0" in too_large.stderr


def test_apply_makes_the_statuses_that_of_the_file(
    app: Flask, client: FlaskClient, database: str
) -> None:
    change(client)
    text = export(app)

    with service(database) as production:
        assert apply(production, text, "--prune").exit_code == 0
        assert export(production) == text


def test_many_stores_are_applied_by_few_statements(app: Flask, file: Json) -> None:
    file["stores"] += [{"store_id": n, "name": f"Store {n}"} for n in range(3, 2_000)]
    renamed = [{**store, "name": "Renamed"} for store in file["stores"]]
    sent: list[str] = []

    def collect(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    with watching(app, "before_cursor_execute", collect):
        added = apply(app, file)
        assert apply(app, file | {"stores": renamed}).exit_code == 0

    assert "store 1999: 'Store 1999'\n" in added.stdout
    assert json.loads(export(app))["stores"] == renamed
    assert len(sent) < 100


def test_second_apply_writes_nothing(app: Flask, file: Json) -> None:
    of(file, "P")["texts"]["ru"]["description"] = "Готов"
    first = apply(app, file)
    before = change_tag(app)

    second = apply(app, file)

    assert first.stdout == (
        "changed O P\n  texts.ru.description: 'Обработан' → 'Готов'\n"
        "unchanged: 10\napplied\n"
    )
    assert (second.exit_code, second.stdout) == (0, "unchanged: 11\napplied\n")
    assert change_tag(app) == before


def test_dry_run_shows_the_plan_and_changes_nothing(app: Flask, file: Json) -> None:
    before, text = change_tag(app), export(app)
    unchanged = apply(app, file, "--dry-run")
    file["statuses"].remove(of(file, "B"))
    of(file, "P")["params"] = {"repay": "Y", "new": "1"}
    file["statuses"].remove(of(file, "C"))
    file["statuses"].append(NEW | {"status_id": 2})
    file["stores"][1]["name"] = "Other"

    planned = apply(app, file, "--dry-run", "--prune")

    assert unchanged.exit_code == 0
    assert planned.exit_code == 4
    assert planned.stdout.splitlines() == [
        "store 2: 'Other'",
        "deleted O B",
        "changed O P",
        "  params.allow_return: 'N' → None",
        "  params.repay: 'N' → 'Y'",
        "  params.gift_cert_status: 'P' → None",
        "  params.notify: 'Y' → None",
        "  params.inventory: 'D' → None",
        "  params.color: '#97cf4d' → None",
        "  params.remove_cc_info: 'Y' → None",
        "  params.new: None → '1'",
        "created O Z 'New'",
        "kept O C: A default status cannot be deleted; set is_default to N.",
        "O Z gets another id: 2 is taken.",
        "unchanged: 9",
        "dry run: nothing was changed",
    ]
    assert (change_tag(app), export(app)) == (before, text)


def test_dry_run_differs_if_prune_would_keep_something(app: Flask, file: Json) -> None:
    built_in, lacking = of(file, "C"), json.loads(json.dumps(file))
    lacking["statuses"].remove(of(lacking, "C"))
    lacking["stores"].pop()
    lacking["statuses"][0]["status_id"] = 77  # is not compared

    kept = apply(app, lacking, "--prune", "--dry-run")
    not_pruned = apply(app, lacking, "--dry-run")
    applied = apply(app, lacking, "--prune")

    assert (kept.exit_code, not_pruned.exit_code, applied.exit_code) == (4, 0, 0)
    assert kept.stdout.splitlines() == [
        "kept O C: A default status cannot be deleted; set is_default to N.",
        "kept store 2 'Second store': remove-store removes it.",
        "unchanged: 11",
        "dry run: nothing was changed",
    ]
    assert applied.stdout == kept.stdout.replace(DRY_RUN, "applied\n")
    assert of(json.loads(export(app)), "C") == built_in


def test_yesterdays_file_undoes_what_was_applied(app: Flask, file: Json) -> None:
    yesterday = export(app)
    of(file, "P")["texts"]["en"]["description"] = "Done"
    file["statuses"].remove(of(file, "B"))
    file["statuses"].append(NEW)

    apply(app, file, "--prune")
    changed = export(app)
    undone = apply(app, yesterday, "--prune")

    assert changed != yesterday
    assert "created O B 'Backordered'" in undone.stdout
    assert export(app) == yesterday


def test_dry_run_takes_no_id(app: Flask, client: FlaskClient, file: Json) -> None:
    file["statuses"].append(NEW)

    apply(app, file, "--dry-run")

    created = client.post("/api/2.0/statuses", json={"description": "Packed"})
    assert created.get_json()["status_id"] == "12"


def test_order_of_params_is_that_of_the_file(app: Flask, file: Json) -> None:
    complete = of(file, "C")
    complete["params"] = dict(reversed(complete["params"].items()))

    applied = apply(app, file, "--prune")

    assert applied.stdout == "changed O C\nunchanged: 10\napplied\n"
    assert json.dumps(json.loads(export(app))) == json.dumps(file)


def test_empty_value_in_a_file_removes_a_known_param(app: Flask, file: Json) -> None:
    of(file, "P")["params"] = {"color": "", "note": ""}
    file["statuses"].append(NEW | {"params": {"repay": "", "note": ""}})

    assert apply(app, file).exit_code == 0
    after = json.loads(export(app))
    assert "color" not in of(after, "P")["params"]
    assert of(after, "P")["params"]["note"] == ""
    assert of(after, "Z")["params"] == {"note": ""}


def test_nothing_is_deleted_without_prune(app: Flask, file: Json) -> None:
    text = export(app)
    of(file, "P").update(params={}, texts={})
    file["statuses"] = [of(file, "P")]
    file["stores"] = []

    assert apply(app, file).stdout == "unchanged: 11\napplied\n"
    assert export(app) == text


def test_what_a_file_cannot_have_is_never_pruned(
    app: Flask, client: FlaskClient, file: Json
) -> None:
    client.put("/api/2.0/stores/2/statuses/2", json={"email_subj": "in store 2"})
    with app.app_context():
        german = {"status_id": 2, "lang_code": "de", "description": "Fertig"}
        db.session.execute(insert(StatusText).values(german))
        other = {"type": "X", "status": "A", "status_id": 77}
        db.session.execute(insert(Status).values(other))
        db.session.commit()
    del file["stores"][1]
    of(file, "C")["params"] = {}

    exported = run(app, "export")
    applied = apply(app, file, "--prune")

    assert exported.stderr == "Left out, since not configured: X, de.\n"
    assert "unchanged: 10\n" in applied.stdout
    with app.app_context():
        assert db.session.get_one(StatusText, (2, "de")).description == "Fertig"
        assert db.session.get_one(StoreText, (2, 2, "en")).email_subj == "in store 2"
        assert db.session.get_one(Status, 77).type == "X"


def test_prune_keeps_what_is_built_in_or_in_use(
    app: Flask, client: FlaskClient, file: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.post("/api/2.0/statuses", json={"description": "Packed"})
    in_use = {"A": 3}
    count = lambda status: in_use.get(status.status, 0)  # noqa: E731
    monkeypatch.setitem(settings_of(app), "ORDER_STATUSES_COUNT_ORDERS", count)
    file["statuses"] = [of(file, "P")]

    planned = apply(app, file, "--prune", "--dry-run").stdout.splitlines()
    apply(app, file, "--prune")

    in_use_by = "Orders use this status: 3. Give them another first."
    assert f"kept O A: {in_use_by}" in planned
    assert any(line.startswith("kept O C: A default status") for line in planned)
    assert "deleted O B" in planned
    letters = [
        status["status"] for status in client.get("/api/2.0/statuses").get_json()
    ]
    assert letters == ["P", "C", "F", "D", "O", "I", "A"]


@pytest.fixture
def icons(app: Flask) -> Iterator[Table]:
    """A table of a shop's, which refers to statuses."""
    of_status = ForeignKey(Status.__table__.c.status_id)
    icons = Table("icon", MetaData(), Column("status_id", Integer, of_status))
    with app.app_context():
        icons.create(db.engine)
        yield icons
        db.session.remove()
        icons.drop(db.engine)


def test_prune_keeps_what_a_table_of_the_shop_refers_to(
    app: Flask, client: FlaskClient, file: Json, icons: Table
) -> None:
    client.post("/api/2.0/statuses", json={"description": "Packed"})
    with db.engine.begin() as connection:
        connection.execute(icons.insert().values(status_id=3))
    backordered = of(file, "B")
    file["statuses"].remove(backordered)

    planned = apply(app, file, "--prune", "--dry-run")
    applied = apply(app, file, "--prune")

    assert planned.stdout.splitlines() == [
        "deleted O A",
        "kept O B: The shop still uses this status.",
        "unchanged: 11",
        "dry run: nothing was changed",
    ]
    assert (planned.exit_code, applied.exit_code) == (4, 0)
    assert applied.stdout == planned.stdout.replace(DRY_RUN, "applied\n")
    assert of(json.loads(export(app)), "B") == backordered


def test_status_keeps_its_id_whatever_the_file_has(app: Flask, file: Json) -> None:
    of(file, "B")["status_id"] = 77

    assert apply(app, file).stdout == "unchanged: 11\napplied\n"


def test_signals_are_sent_as_for_requests(app: Flask, file: Json) -> None:
    file["statuses"].remove(of(file, "B"))
    of(file, "P")["texts"]["ru"]["description"] = "Готов"
    of(file, "C")["store_texts"] = {"2": {"en": {"email_subj": "x"}}}
    of(file, "F")["is_default"] = "N"
    order = of(file, "O")
    order["params"] = dict(reversed(order["params"].items()))
    file["statuses"].append(NEW)
    sent: list[Any] = []

    def receive(app: Flask, **values: Any) -> None:
        status = values["status"]
        who = (values["caller"].name, values["store_id"])
        sent.append((status.status, status.lang_code, status.description, *who))

    signals = (writing.status_created, writing.status_updated, writing.status_deleted)
    for signal in signals:
        signal.connect(receive, app)
    apply(app, file, "--prune", "--dry-run")
    apply(app, file, "--prune")
    for signal in signals:
        signal.disconnect(receive, app)

    name = "flask order-statuses"
    assert sent == [
        ("B", "en", "Backordered", name, None),
        ("C", "en", "Complete", name, 2),
        ("F", "en", "Failed", name, None),
        ("O", "en", "Open", name, None),
        ("P", "ru", "Готов", name, None),
        ("Z", "en", "New", name, None),
    ]


def test_apply_works_within_a_request_of_the_shops_tests(
    app: Flask, file: Json
) -> None:
    of(file, "C")["is_default"] = "N"

    with app.test_request_context("/"):
        applied = apply(app, file)

    assert (applied.exit_code, applied.exception) == (0, None)


def test_language_without_a_text_is_no_row(app: Flask, file: Json) -> None:
    own = {"texts": {"en": {"description": "New"}, "ru": {}}}
    file["statuses"].append(NEW | own | {"store_texts": {"1": {"ru": {}}}})

    assert apply(app, file).exit_code == 0

    with app.app_context():
        rows = [*db.session.scalars(select(StatusText).filter_by(status_id=12))]
        assert [row.lang_code for row in rows] == ["en"]
        assert db.session.scalar(select(StoreText).filter_by(status_id=12)) is None


def test_every_problem_is_named_with_its_place(app: Flask, file: Json) -> None:
    before, text = change_tag(app), export(app)
    statuses = file["statuses"]
    statuses[0]["texts"]["ru"]["description"] = " "
    statuses[1]["texts"]["de"] = {"description": "x"}
    statuses[2]["store_texts"] = {"1": {"en": {"email_subj": "a\nb"}}, "9": {}}
    statuses[3]["params"] = {"color": "red"}
    statuses[7]["params"] = "color"
    statuses[4] |= {"status": "N", "status_id": "5", "text": {}}
    statuses[5]["status_id"] = statuses[6]["status_id"]
    statuses.append(dict(statuses[7]))
    file["stores"][0]["name"] = ""
    user = {"email": "a@shop.example", "is_active": True, "keys": {}}
    file["users"] = [user, {**user, "store_id": 9}]

    refused = apply(app, file)

    assert refused.exit_code == 1
    for place in (
        "statuses[0].texts.ru.description: ",
        "statuses[1].texts.de: Must be one of: en, ru.",
        "statuses[2].store_texts.1.en.email_subj: Must be a single line",
        "statuses[2].store_texts.9: No such store",
        "statuses[3].params",
        "statuses[7].params: Must be an object.\n",
        "statuses[4].status: ",
        "statuses[4].status_id: ",
        "statuses[4].text: Unknown field.",
        "statuses[6].status_id: statuses[5] has the same status_id.",
        "statuses[11].status: statuses[7] has the same type and status.",
        "stores[0].name: ",
        "users[1].email: users[0] has the same email.",
        "users[1].store_id: No such store in stores.",
    ):
        assert place in refused.stderr
    assert (change_tag(app), export(app)) == (before, text)


def test_file_is_read_as_bodies_are(app: Flask, file: Json) -> None:
    """With a byte order mark, numbers in all their digits, and empty arrays of PHP."""
    of(file, "P")["params"]["fee"] = "FEE"
    of(file, "B").update(params=[], texts={"en": []}, store_texts=[])
    of(file, "D")["store_texts"] = {"1": []}
    text = json.dumps(file).replace('"FEE"', "12345678901234567890.10")
    before = json.loads(export(app))

    assert apply(app, f"\ufeff{text}").exit_code == 0
    of(before, "P")["params"]["fee"] = "12345678901234567890.10"
    assert json.loads(export(app)) == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON: Expecting value at line 1, column 1"),
        ("{", "not valid JSON"),
        ("[]", "Send a JSON object, such as what export writes."),
        ("{}", "stores: Missing data for required field."),
        ('{"stores": [], "stores": []}', "has a key twice"),
        (b"\xff", "The file is not UTF-8"),
        ('{"stores": [], "statuses": ["\\u0000"]}', "The file has a NUL character"),
        ('{"stores": [], "statuses": [], "\\u001e": 1}', r"'\x1e': Unknown field."),
        ('{"stores": {}, "statuses": [5], "x": 1}', "statuses[0]: Invalid input type."),
        ('{"stores": 5, "statuses": null, "users": [[]]}', "stores: Not a valid list."),
    ],
)
def test_broken_file_is_refused(app: Flask, text: str | bytes, message: str) -> None:
    before = change_tag(app)
    for options in ([], ["--prune", "--dry-run"]):
        refused = apply(app, text, *options)

        assert refused.exit_code == 1
        assert refused.stdout == ""
        assert message in refused.stderr
    assert change_tag(app) == before


def test_params_are_at_most_64_in_all(app: Flask, file: Json) -> None:
    text = export(app)
    of(file, "P")["params"] = {f"p{n}": "" for n in range(60)}

    assert "].params: More than 64." in apply(app, file).stderr
    assert export(app) == text
    assert apply(app, file, "--prune").exit_code == 0


def test_new_status_needs_a_description(app: Flask, file: Json) -> None:
    text = export(app)
    file["statuses"].append(NEW | {"texts": {"en": {"email_subj": "x"}}})

    refused = apply(app, file)

    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "statuses[11].texts: A new status has no description." in refused.stderr
    assert export(app) == text


def test_init_leaves_what_is_there_alone(
    app: Flask, client: FlaskClient, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text(export(app))
    change(client)
    text = export(app)

    done = run(app, "init", str(file))

    assert done.exit_code == 0
    assert "It is not empty" in done.stderr
    assert export(app) == text


def test_init_refuses_a_broken_file(empty_database: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("{}")
    with service(empty_database) as app:
        refused = run(app, "init", str(tmp_path / "file"))

        assert refused.exit_code == 1
        assert "statuses: Missing data" in refused.stderr
        assert run(app, "export").exit_code == 1  # there are no tables


def test_export_replaces_a_file(app: Flask, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")

    assert run(app, "export", str(file)).stdout == ""
    assert file.read_text(encoding="utf-8") == export(app)


def test_users_move_with_their_keys(
    app: Flask, client: FlaskClient, empty_database: str, tmp_path: Path
) -> None:
    file = str(tmp_path / "users")
    run(app, "deactivate-user", "one@shop.example")
    run(app, "add-user", "reporter@shop.example", "--read-only")
    assert run(app, "export", file, "--users").exit_code == 0
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    secret = Path(file).read_text(encoding="utf-8")

    with service(empty_database) as moved:
        run(moved, "init", file)
        planned = run(moved, "apply", file, "--users", "--dry-run")
        before = run(moved, "users").stdout
        added = run(moved, "apply", file, "--users")
        with moved.app_context():
            first_id = db.session.scalar(select(func.min(User.user_id)))
        seen = client_of(moved, ADMINISTRATOR).get("/api/2.0/statuses")
        again = run(moved, "apply", file, "--users")
        users = run(moved, "users", "--json").stdout

    assert (before, added.exit_code, seen.status_code) == ("", 0, 200)
    assert (planned.exit_code, first_id) == (4, 1)
    assert planned.stdout == added.stdout.replace("applied\n", DRY_RUN)
    assert f"user {ADMINISTRATOR}\n" in added.stdout
    assert again.exit_code == 1
    assert "has API users already" in again.stderr
    assert users == run(app, "users", "--json").stdout
    assert '"users"' in secret
    assert secret.count('"read_only": true') == users.count('"read_only": true') == 1
    assert '"users"' not in export(app)


def test_dry_run_refuses_the_users_that_add_user_refuses(
    app: Flask, file: Json
) -> None:
    emails = ["a@shop.example", "\x1b@shop.example", "İ" * 200 + "@shop.example"]
    key = {"a" * 64: None}
    file["users"] = [{"email": e, "is_active": True, "keys": key} for e in emails]

    refused = apply(app, file, "--users", "--dry-run")

    assert refused.exit_code == 1
    for problem in (
        "users[1].email: Not an e-mail address.",
        "users[2].email: Not an e-mail address.",
        f"users[1].keys.{'a' * 64}: users[0] has it.",
    ):
        assert problem in refused.stderr


def test_user_of_a_file_may_write_unless_it_says_otherwise(
    empty_database: str, file: Json
) -> None:
    user = {"email": ADMINISTRATOR, "is_active": True, "keys": {}}
    with service(empty_database) as app:
        run(app, "init")
        wrong = apply(app, file | {"users": [user | {"read_only": "x"}]}, "--users")
        assert apply(app, file | {"users": [user]}, "--users").exit_code == 0
        (added,) = json.loads(run(app, "users", "--json").stdout)

    assert "users[0].read_only: Not a valid boolean." in wrong.stderr
    assert added["read_only"] is False


def test_users_are_written_to_a_new_file_alone(app: Flask, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")

    assert run(app, "export", str(file), "--users").exit_code == 1
    assert run(app, "export", "--users").exit_code == 2
    assert run(app, "export", "-", "--users").exit_code == 2
    assert file.read_text() == "old"


def start(
    url: str, *arguments: str, output: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """Start a command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "flask", "--app", "wsgi", "order-statuses", *arguments],
        env=os.environ | {"DATABASE_URL": url},
        stdout=output,
        stderr=output,
    )


@pytest.mark.slow
def test_applies_at_once_end_as_one_after_the_other(
    database: str, tmp_path: Path
) -> None:
    with service(database) as app:
        file = json.loads(export(app))
        for letter in "HJKL":
            of(file, "P")["params"] = {"letter": letter}
            new = NEW | {"status": letter, "status_id": 50}
            both = file | {"statuses": [*file["statuses"], new]}
            (tmp_path / letter).write_text(json.dumps(both))

        started = [start(database, "apply", str(tmp_path / name)) for name in "HJKL"]
        codes = [process.wait() for process in started]
        made = json.loads(export(app))

    new_ids = {s["status"]: s["status_id"] for s in made["statuses"]}
    assert codes == [0] * 4
    assert sorted(new_ids[letter] for letter in "HJKL") == [50, 51, 52, 53]
    last = of(made, "P")["params"]["letter"]
    assert new_ids[last] == 53


@pytest.fixture
def languages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Fifty languages, for commands in processes of their own."""
    codes = [f"{a}{b}" for a in "abcde" for b in "abcdefghij"]
    monkeypatch.setenv("ORDER_STATUSES_LANGUAGES", ",".join(codes))
    return codes


def large(languages: list[str], subject: str) -> str:
    """Return a file with 68,000 texts in stores, each with this *subject*."""
    text = {"email_subj": subject, "email_header": "<p>Thanks.</p>" * 5}
    texts = {code: {"description": "Processed"} | text for code in languages}
    in_stores = {str(store): dict.fromkeys(languages, text) for store in range(1, 21)}
    statuses = [
        {"type": type_, "status": letter, "texts": texts, "store_texts": in_stores}
        for type_ in "OG"
        for letter in STATUS_LETTERS
    ]
    stores = [{"store_id": n, "name": f"Store {n}"} for n in range(1, 21)]
    return json.dumps({"stores": stores, "statuses": statuses})


def server_of(url: str) -> psutil.Process | None:
    """Return the process of the database's server, which counts its sessions' time."""
    if not url.startswith("postgresql:"):
        return None
    with psycopg.connect(url) as connection:
        (folder,) = connection.execute("SHOW data_directory").fetchone() or ("",)
    pid = (Path(folder) / "postmaster.pid").read_text().split()[0]
    return psutil.Process(int(pid))


@pytest.mark.slow
def test_large_file_is_applied_in_time(
    empty_database: str, tmp_path: Path, languages: list[str]
) -> None:
    path, server = tmp_path / "file", server_of(empty_database)
    assert start(empty_database, "init").wait() == 0
    for subject, *options in (["new"], ["changed", "--prune"], ["changed"]):
        path.write_text(large(languages, subject))
        before = sum(server.cpu_times()[:4]) if server else 0
        process = start(empty_database, "apply", str(path), *options)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        in_server = sum(server.cpu_times()[:4]) - before if server else 0

        assert process.returncode == 0
        # The processors' time: others may use the machine as well.
        assert usage.ru_utime + usage.ru_stime + in_server < 30
        assert usage.ru_maxrss < 300 * 1024


@pytest.fixture
def unread() -> Iterator[tuple[int, int]]:
    """A pipe that nobody reads: it holds 64 KiB."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def put_while(process: subprocess.Popen[bytes], app: Flask) -> int:
    """Return how an update ends while the *process* waits to print something."""
    assert process.poll() is None
    client = client_of(app, ADMINISTRATOR)
    written = client.put("/api/2.0/statuses/2", json={"description": "x"})
    process.kill()
    process.wait()
    return written.status_code


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_plan_that_nobody_reads_holds_up_no_write(
    database: str, tmp_path: Path, unread: tuple[int, int], options: list[str]
) -> None:
    stores = [{"store_id": n, "name": "x" * 255} for n in range(1, 1_000)]
    file = tmp_path / "file"
    file.write_text(json.dumps({"stores": stores, "statuses": []}))
    output, end = unread

    process = start(database, "apply", str(file), *options, output=end)
    assert wait([output], SECONDS) == [output]
    with service(database, ORDER_STATUSES_LOCK_TIMEOUT="1") as app:
        assert put_while(process, app) == 200


REMOVED = "To be removed: store 2 'Second store', 0 texts; users: none."


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "first"),
    [
        (["add-user", "new@shop.example"], "Database: {}"),
        (["remove-store", "2", "--yes"], REMOVED),
    ],
)
def test_message_that_nobody_reads_holds_up_no_write(
    database: str, unread: tuple[int, int], command: list[str], first: str
) -> None:
    with service(database, ORDER_STATUSES_LOCK_TIMEOUT="1") as app:
        with app.app_context():
            line = first.format(name()) + "\n"
        os.write(unread[1], bytes(64 * 1024 - len(line)))  # no more than that fits
        before = change_tag(app)
        process = start(database, *command, output=unread[1])
        wait_until(lambda: change_tag(app) != before)
        assert put_while(process, app) == 200


@pytest.mark.slow
def test_commands_work_in_a_shop(
    wheel: Wheel, databases: Databases, tmp_path: Path
) -> None:
    url = database_url(databases.create()).render_as_string(hide_password=False)
    shop = build_shop(wheel.python, tmp_path / "shop", url)
    mount(shop)
    migrate(shop)
    shop.call("flask", "order-statuses", "seed")
    shop.call("flask", "seed")  # with orders that have the letter B
    file = tmp_path / "file"

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [shop.python, "-m", "flask", "order-statuses", *arguments],
            cwd=shop.folder,
            env=clean_environment() | shop.environment,
            capture_output=True,
            text=True,
        )

    assert call("export", str(file)).returncode == 0
    exported = json.loads(file.read_text(encoding="utf-8"))
    of(exported, "C")["texts"]["en"]["description"] = "Done"
    exported["statuses"].remove(of(exported, "B"))
    file.write_text(json.dumps(exported), encoding="utf-8")
    planned = call("apply", str(file), "--prune", "--dry-run")
    applied = call("apply", str(file), "--prune")
    again = call("apply", str(file))

    kept = "kept O B: Orders use this status: 2. Give them another first."
    assert planned.returncode == 4
    assert planned.stdout.splitlines() == [
        "changed O C",
        "  texts.en.description: 'Complete' → 'Done'",
        kept,
        "unchanged: 10",
        "dry run: nothing was changed",
    ]
    assert applied.returncode == 0
    assert applied.stdout == planned.stdout.replace(DRY_RUN, "applied\n")
    assert "flask order-statuses changed Done" in applied.stderr  # the shop's receiver
    assert (again.returncode, again.stdout) == (0, "unchanged: 11\napplied\n")
