"""The command apply: the plan, what it changes and what it keeps."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, insert, select

from order_statuses import writing
from order_statuses.database import db
from order_statuses.models import Status, StatusText, StoreText

from .commands import DRY_RUN, NEW, Json, apply, change, change_tag, export, of, run
from .conftest import service, settings_of, watching


def test_apply_makes_the_statuses_those_of_the_file(
    app: Flask, client: FlaskClient, database: str
) -> None:
    change(client)
    text = export(app)

    with service(database) as production:
        assert apply(production, text, "--prune").exit_code == 0
        assert export(production) == text


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


def test_dry_run_takes_no_id(app: Flask, client: FlaskClient, file: Json) -> None:
    file["statuses"].append(NEW)

    apply(app, file, "--dry-run")

    created = client.post("/api/2.0/statuses", json={"description": "Packed"})
    assert created.get_json()["status_id"] == "12"


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


def test_apply_ignores_the_last_id(app: Flask, client: FlaskClient, file: Json) -> None:
    file["statuses"].append(NEW)
    applied = apply(app, file | {"last_status_id": 10**18})
    too_large = apply(app, file | {"last_status_id": 10**18 + 1})

    assert applied.stdout == "created O Z 'New'\nunchanged: 11\napplied\n"
    assert of(json.loads(export(app)), "Z")["status_id"] == 12
    assert "last_status_id: Must be greater than or equal to 0" in too_large.stderr


def test_status_keeps_its_id_whatever_the_file_has(app: Flask, file: Json) -> None:
    of(file, "B")["status_id"] = 77

    assert apply(app, file).stdout == "unchanged: 11\napplied\n"


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


def test_language_without_a_text_is_no_row(app: Flask, file: Json) -> None:
    own = {"texts": {"en": {"description": "New"}, "ru": {}}}
    file["statuses"].append(NEW | own | {"store_texts": {"1": {"ru": {}}}})

    assert apply(app, file).exit_code == 0

    with app.app_context():
        rows = [*db.session.scalars(select(StatusText).filter_by(status_id=12))]
        assert [row.lang_code for row in rows] == ["en"]
        assert db.session.scalar(select(StoreText).filter_by(status_id=12)) is None


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
