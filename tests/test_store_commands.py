"""The commands that add, rename and remove storefronts."""

import os
import pty
import subprocess
import sys

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, insert, select

from order_statuses.database import db
from order_statuses.models import Key, Store, StoreText, User
from order_statuses.writing import replace_stores

from .commands import run
from .conftest import ADMINISTRATOR, BOUND, basic, service


def test_store_is_added_and_renamed(app: Flask, client: FlaskClient) -> None:
    added = run(app, "add-store", "3", "Third")
    renamed = run(app, "add-store", "3", " Third store ")

    assert added.stderr == "Store 3 is added.\n"
    assert renamed.stderr == "Store 3 is renamed; it was 'Third'.\n"
    assert client.get("/api/2.0/stores/3").json == {
        "company_id": "3",
        "company": "Third store",
    }


@pytest.mark.parametrize(
    "arguments", [["0", "x"], ["x", "x"], ["3", " "], ["3", "x" * 256]]
)
def test_invalid_store_is_refused(app: Flask, arguments: list[str]) -> None:
    assert run(app, "add-store", *arguments).exit_code != 0
    with app.app_context():
        assert list(
            db.session.scalars(select(Store.store_id).order_by("store_id"))
        ) == [1, 2]


def test_removed_store_takes_its_texts_users_and_keys_along(
    app: Flask, client: FlaskClient
) -> None:
    key = run(app, "add-user", "two@shop.example", "--store", "2").stdout.strip()
    for store in (1, 2):
        client.put(f"/api/2.0/stores/{store}/statuses/2", json={"email_subj": "x"})

    removed = run(app, "remove-store", "2", "--yes")

    assert removed.exit_code == 0
    assert "'Second store', 1 texts; users: two@shop.example." in removed.stderr
    headers = {"Authorization": basic("two@shop.example", key)}
    assert app.test_client().get("/api/2.0/stores", headers=headers).status_code == 401
    with app.app_context():
        assert list(db.session.scalars(select(StoreText.store_id))) == [1]
        assert list(db.session.scalars(select(User.email).order_by("email"))) == [
            ADMINISTRATOR,
            BOUND,
        ]
        assert len(db.session.scalars(select(Key)).all()) == 2


@pytest.mark.slow
def test_store_is_removed_whatever_their_number(app: Flask) -> None:
    with app.app_context(), db.engine.begin() as connection:
        stores = [{"store_id": n, "name": "Store"} for n in range(3, 70_001)]
        connection.execute(insert(Store), stores)

    removed = run(app, "remove-store", "2", "--yes")
    with app.app_context():
        left = db.session.scalar(select(func.count()).select_from(Store))
        replace_stores({1: "One"})
        db.session.commit()
        names = [*db.session.scalars(select(Store.name))]

    assert (removed.exit_code, left, names) == (0, 69_999, ["One"])


def test_only_a_store_that_is_there_is_removed(app: Flask, client: FlaskClient) -> None:
    assert run(app, "remove-store", "99", "--yes").exit_code == 1
    assert len(client.get("/api/2.0/stores").get_json()) == 2


def test_last_store_stays(app: Flask, client: FlaskClient) -> None:
    run(app, "remove-store", "2", "--yes")

    assert run(app, "remove-store", "1", "--yes").exit_code == 1
    assert len(client.get("/api/2.0/stores").get_json()) == 1


def test_store_is_not_removed_by_a_script_that_does_not_say_yes(
    app: Flask, client: FlaskClient
) -> None:
    arguments = ["order-statuses", "remove-store", "2"]
    refused = app.test_cli_runner().invoke(args=arguments, input="y\n")

    assert refused.exit_code == 1
    assert "store 2 'Second store', 0 texts; users: none." in refused.stderr
    assert "--yes" in refused.stderr
    assert len(client.get("/api/2.0/stores").get_json()) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "meanwhile", "status"),
    [
        (b"y\n", [], 0),
        (b"n\n", [], 1),
        (b"y\n", ["add-user", "new@shop.example", "--store", "2"], 1),
        (b"y\n", ["remove-store", "1", "--yes"], 1),
    ],
)
def test_store_is_removed_as_it_was_shown(
    database: str, answer: bytes, meanwhile: list[str], status: int
) -> None:
    """Whoever removes it has a terminal, and others write while it asks."""
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "flask", "order-statuses", "remove-store", "2"],
        env=os.environ | {"DATABASE_URL": database, "FLASK_APP": "wsgi"},
        stdin=end,
        stdout=end,
        stderr=end,
    )
    os.close(end)
    shown = b""
    while b"Remove it?" not in shown:
        shown += os.read(terminal, 1000)
    with service(database) as app:
        assert not meanwhile or run(app, *meanwhile).exit_code == 0
        before = run(app, "export").stdout
        os.write(terminal, answer)

        assert process.wait(60) == status
        os.close(terminal)
        assert (run(app, "export").stdout == before) == (status == 1)
