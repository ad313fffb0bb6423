"""The upgrade of a database by the next version, which has one migration more."""

import os
import sqlite3
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from subprocess import Popen
from threading import Event

import httpx
import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, text

from order_statuses import migrations
from order_statuses.database import create_file, db
from order_statuses.models import StatusText

from .conftest import (
    ADMINISTRATOR,
    BOUND,
    KEY,
    PostgresDatabases,
    client_of,
    fill,
    service,
)
from .servers import ROOT, SECONDS, clone, serving

NEXT_MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision = "next"
down_revision = {head!r}


def upgrade():
    recreate = "always" if op.get_bind().dialect.name == "sqlite" else "never"
    # In the other order than requests use them.
    for name in ("order_statuses_text", "order_statuses_status"):
        with op.batch_alter_table(name, recreate=recreate) as table:
            table.add_column(sa.Column("new", sa.String(1), nullable=True))
"""
INIT = ["-m", "flask", "--app=wsgi", "order-statuses", "init"]
UPGRADE = """
from order_statuses.app import create_app

app = create_app()
print(app.test_client().get("/readyz").status_code)
print(app.test_cli_runner().invoke(args=["order-statuses", "init"]).exit_code)
print(app.test_client().get("/readyz").status_code)
"""


TABLES_OF_BEFORE = [
    "CREATE TABLE order_statuses_version (version_num VARCHAR(32) PRIMARY KEY)",
    "CREATE TABLE order_statuses_catalogue (catalogue_id INTEGER, token VARCHAR(32))",
]


@pytest.mark.parametrize("table", TABLES_OF_BEFORE)
def test_database_from_before_the_release_is_left_alone_and_said_so(
    empty_database: str, table: str, caplog: pytest.LogCaptureFixture
) -> None:
    with service(empty_database) as app:
        with app.app_context():
            create_file()
            db.session.execute(text(table))
            db.session.commit()
        not_ready = app.test_client().get("/readyz")
        refused = app.test_cli_runner().invoke(args=["order-statuses", "init"])
        with app.app_context():
            tables = db.inspect(db.engine).get_table_names()

    assert (not_ready.status_code, refused.exit_code) == (503, 1)
    assert refused.stderr == f"Error: {migrations.FROM_BEFORE}\n"
    assert migrations.FROM_BEFORE in caplog.text
    assert tables == [table.split()[2]]


@pytest.mark.slow
def test_development_server_says_that_a_database_is_from_before_the_release(
    tmp_path: Path,
) -> None:
    file = tmp_path / "old.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(TABLES_OF_BEFORE[0])
    ended = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "wsgi", "run", "--port=0"],
        cwd=ROOT,
        env=os.environ
        | {"DATABASE_URL": f"sqlite:///{file}", "ORDER_STATUSES_LOCAL_ADMIN": "yes"},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == f"Error: {migrations.FROM_BEFORE}"


@pytest.fixture
def next_version(tmp_path: Path) -> Path:
    """A checkout of the next version."""
    clone(tmp_path)
    migration = NEXT_MIGRATION.format(head=migrations.versions()[0])
    (tmp_path / "migrations" / "versions" / "next.py").write_text(migration)
    return tmp_path


def run_python(
    folder: Path, database: str, *arguments: str
) -> "subprocess.CompletedProcess[str]":
    """Run Python in the checkout in *folder*."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"DATABASE_URL": database},
        capture_output=True,
        text=True,
        timeout=2 * SECONDS,
    )


def version_of(app: Flask) -> str | None:
    with app.app_context(), db.engine.connect() as connection:
        return migrations.version_of(connection)


def seen_by(client: FlaskClient) -> list[str]:
    stores = client.get("/api/2.0/stores").get_json()
    statuses = client.get("/api/2.0/statuses").get_json()
    return [row["company"] for row in stores] + [row["status"] for row in statuses]


def test_next_version_is_ready_after_init_and_keys_still_work(
    database: str, next_version: Path
) -> None:
    with service(database) as app:
        clients = [client_of(app, email) for email in (ADMINISTRATOR, BOUND)]
        head, before = version_of(app), [seen_by(client) for client in clients]
        upgraded = run_python(next_version, database, "-c", UPGRADE)

        assert upgraded.stdout.split() == ["503", "0", "200"], upgraded.stderr
        assert (
            f"The tables are at version {head}, not at next: flask order-statuses init "
            "upgrades them." in upgraded.stderr
        )
        assert version_of(app) == "next"
        assert [seen_by(client) for client in clients] == before
        assert len(before[0]) == 9


@pytest.mark.slow
def test_old_version_serves_while_the_tables_are_upgraded(
    database: str, next_version: Path
) -> None:
    upgraded = Event()

    def read(server: str) -> list[int]:
        seen: list[int] = []
        credentials = (ADMINISTRATOR, KEY + ADMINISTRATOR)
        with httpx.Client(base_url=server, auth=credentials) as client:
            while not upgraded.is_set() or len(seen) < 50:
                seen.append(client.get("/api/2.0/statuses").status_code)
            seen.append(client.get("/readyz").status_code)
            added = client.post("/api/2.0/statuses", json={"description": "Packed"})
            return [*seen, added.status_code]

    with serving(database, 2) as old, ThreadPoolExecutor() as threads:
        readers = [threads.submit(read, old.url) for _ in range(4)]
        try:
            init = run_python(next_version, database, *INIT)
        finally:
            upgraded.set()

        assert init.returncode == 0, init.stderr
        for reader in readers:
            *reads, written = reader.result()
            assert (set(reads), written) == ({200}, 201)
    with service(database) as app:
        assert version_of(app) == "next"
        assert client_of(app, BOUND).get("/api/2.0/stores").status_code == 200


@pytest.mark.slow
def test_upgrade_that_waits_for_a_long_reader_holds_up_no_request(
    postgres: str, tmp_path: Path, next_version: Path
) -> None:
    databases, done = PostgresDatabases(postgres), Event()
    url = databases.create()
    fill(url)

    def write(server: str, status_id: int) -> Counter[int]:
        seen: Counter[int] = Counter()
        credentials = (ADMINISTRATOR, KEY + ADMINISTRATOR)
        with httpx.Client(base_url=server, auth=credentials, timeout=SECONDS) as client:
            while not done.is_set():
                text = {"description": f"Text {seen[200]}"}
                path = f"/api/2.0/statuses/{status_id}"
                seen[client.put(path, json=text).status_code] += 1
        return seen

    with (
        serving(url, 4, ORDER_STATUSES_LOCK_TIMEOUT="5") as server,
        ThreadPoolExecutor() as threads,
        psycopg.connect(url) as reader,
    ):
        reader.execute("SELECT 1 FROM order_statuses_status")  # as pg_dump does
        writers = [threads.submit(write, server.url, n) for n in range(1, 5)]
        init = threads.submit(run_python, next_version, url, *INIT)
        try:
            reader.execute("SELECT pg_sleep(10)")
            waited = not init.done()
            reader.rollback()
            ended = init.result()
        finally:
            done.set()

        seen = sum((writer.result() for writer in writers), Counter())
    with service(url) as app:
        version = version_of(app)
    databases.drop(url)

    assert (waited, ended.returncode, version) == (True, 0, "next"), ended.stderr
    assert seen.keys() == {200}
    waits = "Waiting until nobody uses order_statuses_status; Ctrl-C ends it.\n"
    assert ended.stderr.count(waits) == 1


@pytest.mark.slow
def test_ten_inits_at_once_upgrade_an_old_database(
    database: str, next_version: Path
) -> None:
    """Rebuilding a table on SQLite empties no other by cascade."""
    command = [sys.executable, *INIT]
    environment = os.environ | {"DATABASE_URL": database}

    inits = [Popen(command, cwd=next_version, env=environment) for _ in range(10)]

    assert [process.wait(2 * SECONDS) for process in inits] == [0] * 10
    with service(database) as app, app.app_context():
        assert version_of(app) == "next"
        assert db.session.execute(text("SELECT new FROM order_statuses_status")).all()
        assert len(db.session.scalars(select(StatusText)).all()) == 22
