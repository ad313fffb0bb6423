"""The upgrade of a database that the version before has filled."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import httpx
import pytest
from alembic import command
from flask.testing import FlaskClient
from sqlalchemy import text

from order_statuses import cli, statuses_file
from order_statuses.auth import key_hash
from order_statuses.database import db

from .conftest import ADMINISTRATOR, BOUND, KEY, client_of, service
from .servers import ROOT, running
from .test_servers import copy_checkout

CREDENTIALS = (ADMINISTRATOR, KEY + ADMINISTRATOR)


@pytest.fixture
def old_database(empty_database: str) -> str:
    """A database without the days of keys, with data, users and keys."""
    with service(empty_database) as app, app.app_context():
        with cli.migrating() as connection:
            command.upgrade(cli.alembic_config(connection), "0001")
            statuses_file.fill(connection)
            for number, (email, store) in enumerate(
                [(ADMINISTRATOR, None), (BOUND, 1)]
            ):
                row = {"id": number, "email": email, "store": store}
                user = (
                    "INSERT INTO order_statuses_user VALUES (:id, :email, :store, true)"
                )
                connection.execute(text(user), row)
                key = "INSERT INTO order_statuses_key VALUES (:hash, :id)"
                row["hash"] = key_hash(KEY + email)
                connection.execute(text(key), row)
    return empty_database


def seen_by(client: FlaskClient) -> list[str]:
    stores = client.get("/api/2.0/stores").get_json()
    statuses = client.get("/api/2.0/statuses").get_json()
    return [row["company"] for row in stores] + [row["status"] for row in statuses]


def test_keys_work_before_the_upgrade_and_after_it(
    old_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    with service(old_database) as app:
        clients = [client_of(app, email) for email in (ADMINISTRATOR, BOUND)]
        before = [seen_by(client) for client in clients]
        not_ready = app.test_client().get("/readyz")
        runner = app.test_cli_runner()
        upgraded = runner.invoke(args=["order-statuses", "init"])
        listed = runner.invoke(args=["order-statuses", "users"]).stdout

        assert (not_ready.status_code, upgraded.exit_code) == (503, 0)
        assert "flask order-statuses init" in caplog.text
        assert app.test_client().get("/readyz").status_code == 200
        assert [seen_by(client) for client in clients] == before
        assert len(before[0]) == 8
    assert f"active  {key_hash(KEY + ADMINISTRATOR)[:8]} of ?" in listed


@pytest.fixture
def old_server(old_database: str, tmp_path: Path) -> Iterator[str]:
    """The URL of the version before, which knows no days of keys."""
    copy_checkout(tmp_path)
    (tmp_path / "migrations" / "versions" / "0002_day_of_a_key.py").unlink()
    models = tmp_path / "models.py"
    old, changes = re.subn("    created_on: .*\n", "", models.read_text())
    assert changes == 1
    models.write_text(old)
    options = ["--bind=127.0.0.1:0", "--workers=2", "wsgi:app"]
    environment = os.environ | {"DATABASE_URL": old_database}
    with running(
        [sys.executable, "-m", "gunicorn", *options], tmp_path, environment
    ) as s:
        yield s.url


@pytest.mark.slow
def test_old_version_serves_while_the_tables_are_upgraded(
    old_server: str, old_database: str
) -> None:
    upgraded = Event()

    def read() -> list[int]:
        seen: list[int] = []
        with httpx.Client(base_url=old_server, auth=CREDENTIALS) as client:
            while not upgraded.is_set() or len(seen) < 50:
                seen.append(client.get("/api/2.0/statuses").status_code)
            seen.append(client.get("/readyz").status_code)
            added = client.post("/api/2.0/statuses", json={"description": "Packed"})
            return [*seen, added.status_code]

    environment = os.environ | {"DATABASE_URL": old_database, "FLASK_APP": "wsgi"}
    init = [sys.executable, "-m", "flask", "order-statuses", "init"]
    with ThreadPoolExecutor() as threads:
        readers = [threads.submit(read) for _ in range(4)]
        try:
            subprocess.run(init, cwd=ROOT, env=environment, check=True, timeout=60)
        finally:
            upgraded.set()

        for reader in readers:
            *reads, written = reader.result()
            assert (set(reads), written) == ({200}, 201)
    with service(old_database) as app, app.app_context():
        assert db.session.scalar(cli.VERSION) == cli.versions()[0]
        assert client_of(app, BOUND).get("/api/2.0/stores").status_code == 200
