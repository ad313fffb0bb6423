"""The commands for operators."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from order_statuses.models import Store, User, db

from .conftest import ADMINISTRATOR, BOUND, basic, service


def run(app: Flask, *arguments: str) -> Any:
    return app.test_cli_runner().invoke(args=["order-statuses", *arguments])


def stores_seen(app: Flask, email: str, key: str) -> Any:
    headers = {"Authorization": basic(email, key)}
    return app.test_client().get("/api/2.0/stores", headers=headers).json


def test_add_user_prints_the_key_alone(app: Flask) -> None:
    added = run(app, "add-user", "New@shop.example")

    (key,) = added.stdout.splitlines()
    assert len(key) >= 22  # 128 bits in Base64
    assert len(stores_seen(app, "new@shop.example", key)) == 2


def test_user_may_be_bound_to_a_store(app: Flask) -> None:
    key = run(app, "add-user", "two@shop.example", "--store", "2").stdout.strip()

    assert stores_seen(app, "two@shop.example", key) == [
        {"company_id": "2", "company": "Second store"}
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ["new@shop.example", "--store", "99"],
        [BOUND, "--store", "2"],
        [ADMINISTRATOR, "--store", "1"],
        ["no-address"],
        ["\udcff@shop.example"],
        ["a:b@shop.example"],
        ["a b@shop.example"],
        ["x" * 250 + "@shop.example"],
    ],
)
def test_user_that_makes_no_sense_is_refused(app: Flask, arguments: list[str]) -> None:
    refused = run(app, "add-user", *arguments)

    assert (refused.exit_code, refused.stdout) == (1, "")
    with app.app_context():
        emails = list(db.session.scalars(select(User.email).order_by(User.email)))
    assert emails == [ADMINISTRATOR, BOUND]


def test_deactivated_user_needs_a_new_key(app: Flask) -> None:
    old = run(app, "add-user", BOUND).stdout.strip()
    run(app, "deactivate-user", BOUND)
    refused = stores_seen(app, BOUND, old)

    new = run(app, "add-user", BOUND).stdout.strip()

    assert refused["status"] == 401
    assert stores_seen(app, BOUND, old)["status"] == 401
    assert stores_seen(app, BOUND, new)[0]["company_id"] == "1"


def test_unknown_user_is_not_deactivated(app: Flask) -> None:
    assert run(app, "deactivate-user", "nobody@shop.example").exit_code == 1


def test_store_is_added_and_renamed(app: Flask, client: FlaskClient) -> None:
    run(app, "add-store", "3", "Third")
    run(app, "add-store", "3", " Third store ")

    assert client.get("/api/2.0/stores/3").json == {
        "company_id": "3",
        "company": "Third store",
    }


@pytest.mark.parametrize(
    "arguments", [["0", "x"], ["x", "x"], ["3", " "], ["3", "x" * 256]]
)
def test_store_that_makes_no_sense_is_refused(app: Flask, arguments: list[str]) -> None:
    assert run(app, "add-store", *arguments).exit_code != 0
    with app.app_context():
        assert list(
            db.session.scalars(select(Store.store_id).order_by("store_id"))
        ) == [1, 2]


def test_commands_say_that_the_database_is_not_set_up(empty_database: str) -> None:
    with service(empty_database) as app:
        refused = run(app, "add-user", "new@shop.example")

    assert refused.exit_code == 1
    assert refused.stderr.startswith("Error: Nothing was changed.")
    assert "flask order-statuses init" in refused.stderr
