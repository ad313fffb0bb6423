"""The models, which refuse what the API refuses."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import insert, update

from order_statuses.database import db
from order_statuses.models import Base, Status, StatusText, StoreText

from .conftest import ADMINISTRATOR, client_of
from .servers import ROOT, call

COMPLETE = "/api/2.0/statuses/2"
WRONG: list[tuple[type[Base], str, Any]] = [
    (Status, "params", None),
    (Status, "params", ["a"]),
    (Status, "params", {"n": True}),
    (Status, "params", {"n": None}),
    (Status, "params", {"color": ""}),
    (Status, "params", {"n": "\0"}),
    (Status, "params", {1: "x"}),
    (Status, "params", {f"n{n}": "" for n in range(65)}),
    (Status, "status", "zz"),
    (Status, "status", "N"),
    (Status, "type", "X"),
    (Status, "is_default", None),
    (Status, "position", -1),
    (StatusText, "description", " "),
    (StatusText, "description", None),
    (StatusText, "email_subj", "two\nlines"),
    (StatusText, "email_header", "\ud800"),
    (StatusText, "lang_code", "xx"),
    (StoreText, "email_subj", "two\nlines"),
]


@pytest.fixture
def status(app: Flask) -> Iterator[Status]:
    """The status 2 in a session, with all that another version has stored in it."""
    with app.app_context():
        old = {"type": "X", "params": {"color": "red", "n": 5}}
        db.session.execute(update(Status).filter_by(status_id=2).values(old))
        text = update(StatusText).filter_by(status_id=2, lang_code="en")
        db.session.execute(text.values(email_subj="\x1b"))
        db.session.commit()
        yield db.session.get_one(Status, 2)


@pytest.mark.parametrize(("model", "name", "value"), WRONG)
def test_value_that_the_api_would_refuse_is_not_assigned(
    app: Flask, model: type[Base], name: str, value: Any
) -> None:
    with app.app_context(), pytest.raises(ValueError, match=rf"{name}\S*: \w"):
        model(**{name: value})


def test_values_are_as_the_api_stores_them(app: Flask) -> None:
    with app.app_context():
        assert StatusText(description=" Packed ").description == "Packed"
        assert StoreText(email_subj=None).email_subj is None


def test_types_and_languages_are_checked_by_their_form_without_an_application() -> None:
    assert (Status(type="X").type, StatusText(lang_code="xx").lang_code) == ("X", "xx")
    with pytest.raises(ValueError, match=r"type: Must match \[A-Z\]"):
        Status(type="XX")


def test_change_in_place_is_stored_and_served(app: Flask, client: FlaskClient) -> None:
    before: Any = client.get(COMPLETE)
    with app.app_context():
        status = db.session.get_one(Status, 2)
        status.params["color"] = "#000000"
        db.session.commit()

    after: Any = client.get(COMPLETE)
    assert after.json["params"] == before.json["params"] | {"color": "#000000"}
    assert [*after.json["params"]] == [*before.json["params"]]


@pytest.mark.parametrize("param", [("n", True), ("color", "red"), ("a b", "x")])
def test_wrong_change_in_place_is_refused_at_the_flush(
    app: Flask, param: tuple[str, Any]
) -> None:
    name, value = param
    with app.app_context():
        status = db.session.get_one(Status, 2)
        status.params[name] = value
        with pytest.raises(ValueError, match=f"params.{name}: "):
            db.session.commit()


def test_value_is_checked_again_where_the_application_is_known(app: Flask) -> None:
    text = StatusText(status_id=2, lang_code="xx", description="Packed")
    with app.app_context():
        db.session.add(text)
        with pytest.raises(ValueError, match="lang_code: Must be one of: en, ru"):
            db.session.commit()


def test_what_was_stored_before_refuses_no_other_change(status: Status) -> None:
    status.type = "X"
    status.position = 5
    status.params = {**status.params, "note": "x"}
    db.session.commit()
    status.params["note"] = "y"
    text = db.session.get_one(StatusText, (2, "en"))
    text.description = "Changed"
    db.session.commit()

    assert status.params == {"color": "red", "n": 5, "note": "y"}
    status.params["n"] = 6  # type: ignore[assignment]
    with pytest.raises(ValueError, match=r"params.n: "):
        db.session.commit()


def test_api_changes_what_was_stored_before(
    app: Flask, status: Status, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "test_client_class", FlaskClient)  # the contract has none
    client = client_of(app, ADMINISTRATOR)
    change = {"description": "Changed", "params": {"note": "x"}}
    changed = client.put(COMPLETE, json=change)
    shown: Any = client.get(COMPLETE).json

    assert (changed.status_code, shown["description"]) == (200, "Changed")
    assert shown["params"] == {"color": "red", "n": 5, "note": "x"}


@pytest.mark.parametrize("params", [None, ["a"]])
def test_params_that_are_no_object_are_read_as_an_empty_one(
    app: Flask, client: FlaskClient, params: Any
) -> None:
    with app.app_context():
        old = {"type": "O", "status": "E", "status_id": 99, "params": params}
        db.session.execute(insert(Status).values(old))
        db.session.commit()
        assert db.session.get_one(Status, 99).params == {}

    shown: Any = client.get("/api/2.0/statuses/99").json
    assert shown["params"] == {}


ADMIN = """
import re

from flask import Flask
from flask_admin import Admin
from flask_admin.contrib.sqla import ModelView
from flask_admin.form import JSONField
from flask_sqlalchemy import SQLAlchemy
from order_statuses import Caller, Status, create_blueprint, seed_statuses


class StatusView(ModelView):
    form_columns = ("status", "type", "is_default", "position", "params")
    form_extra_fields = {"params": JSONField()}


db = SQLAlchemy()
shop = Flask("shop")
shop.config.update(
    SECRET_KEY="for tests",
    SQLALCHEMY_DATABASE_URI="sqlite://",
    ORDER_STATUSES_IDENTIFY=lambda: Caller("owner"),
)
db.init_app(shop)
shop.register_blueprint(create_blueprint(), url_prefix="/api/2.0")
Admin(shop).add_view(StatusView(Status, db, endpoint="edit"))
with shop.app_context():
    seed_statuses(create_tables=True)
client = shop.test_client()
for params, type_ in (
    ('{"color": "red"}', "O"), ('{"n": true}', "O"), ('["a"]', "O"), ("null", "O"),
    ('{"color": "#000000"}', "X"), ('{"color": "#000000"}', "O"),
):
    form = {"status": "C", "type": type_, "is_default": "Y", "position": "0"}
    saved = client.post("/admin/edit/edit/?id=2", data=form | {"params": params})
    print(saved.status_code, *re.findall("Failed to update record. (.*)", saved.text))
print(client.get("/api/2.0/statuses/2").json["params"])
"""


def test_form_of_flask_admin_shows_what_is_wrong() -> None:
    said = call([sys.executable, "-W", "ignore", "-c", ADMIN], ROOT)

    assert said.splitlines() == [
        "200 params.color: Must match #[0-9A-Fa-f]{6}.",
        "200 params.n: Must be a string, not an object or a list.",
        "200 params: Must be an object.",
        "200 params: Must be an object.",
        "200 type: Must be one of: O, G.",
        "302",
        "{'color': '#000000'}",
    ]
