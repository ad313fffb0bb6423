"""A move of the statuses to another database: export, init, and apply for users."""

import json
import os
import stat
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, insert, select

from order_statuses.database import db
from order_statuses.models import Key, Store, StoreText, User

from .commands import DRY_RUN, NEW, Json, apply, change, export, run
from .conftest import (
    ADMINISTRATOR,
    Databases,
    PostgresDatabases,
    SqliteDatabases,
    client_of,
    service,
)


def init(url: str, file: str, path: Path) -> str:
    """Return what is exported after ``init FILE`` on an empty database."""
    path.write_text(file, encoding="utf-8")
    with service(url) as app:
        assert run(app, "init", str(path)).exit_code == 0
        return export(app)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_statuses_survive_a_move(
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


def test_ids_go_on_after_a_move(
    client: FlaskClient, app: Flask, empty_database: str, tmp_path: Path
) -> None:
    change(client)
    init(empty_database, export(app), tmp_path / "file")

    with service(empty_database) as moved:
        run(moved, "add-user", ADMINISTRATOR)
        statuses = [NEW, NEW | {"status": "Y", "status_id": 40}]
        created = apply(moved, {"stores": [], "statuses": statuses})
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
