"""The tables of the service: init, and the migrations that it runs."""

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Table, func, insert, select, text
from sqlalchemy.exc import IntegrityError

from order_statuses import migrations
from order_statuses.database import create_file, db, transaction
from order_statuses.models import Base, Key, Status, StatusText, Store

from .commands import change, export, run
from .conftest import PostgresDatabases, on_postgresql, service


@pytest.fixture
def empty_app(empty_database: str) -> Iterator[Flask]:
    """The service on a database that was never initialised."""
    with service(empty_database) as app:
        yield app


def init(app: Flask) -> Any:
    return run(app, "init")


def execute(app: Flask, *statements: str) -> None:
    with app.app_context():
        for statement in statements:
            db.session.execute(text(statement))
        db.session.commit()


def test_migrations_make_the_tables_of_the_models(app: Flask) -> None:
    with app.app_context(), db.engine.connect() as connection:
        options = {"version_table": "order_statuses_alembic", "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)

        assert compare_metadata(context, Base.metadata) == []


def test_migrations_can_be_taken_back(empty_app: Flask) -> None:
    from alembic import command

    init(empty_app)
    with empty_app.app_context(), migrations.migrating() as connection:
        command.downgrade(migrations.alembic_config(connection), "base")

        left = set(db.inspect(connection).get_table_names())
    assert left <= {"order_statuses_alembic", "sqlite_sequence"}


def test_init_is_idempotent(empty_app: Flask) -> None:
    assert init(empty_app).exit_code == 0
    with empty_app.app_context():
        with transaction():
            db.session.delete(db.get_or_404(Status, 3))
        before = list(db.session.scalars(select(Status.status_id)))

    assert init(empty_app).exit_code == 0

    with empty_app.app_context():
        assert list(db.session.scalars(select(Status.status_id))) == before


def test_init_leaves_what_is_there_alone(
    app: Flask, client: FlaskClient, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text(export(app))
    change(client)
    text = export(app)

    done = run(app, "init", str(file))

    assert done.exit_code == 0
    assert "The database is not empty" in done.stderr
    assert export(app) == text


def test_foreign_keys_are_enforced_after_init(empty_app: Flask) -> None:
    init(empty_app)

    with empty_app.app_context(), pytest.raises(IntegrityError):
        db.session.execute(insert(Key).values(key_hash="x", user_id=99))


@pytest.mark.parametrize(
    ("languages", "described"),
    [
        ("ru", {"ru": "Обработан"}),
        ("de", {"de": "Processed"}),
        ("ru,de", {"ru": "Обработан", "de": "Обработан"}),
    ],
)
def test_default_statuses_are_loaded_in_the_configured_languages(
    empty_database: str, languages: str, described: dict[str, str]
) -> None:
    with service(empty_database, ORDER_STATUSES_LANGUAGES=languages) as app:
        init(app)

        with app.app_context():
            texts = db.session.scalars(select(StatusText).filter_by(status_id=1))
            assert {row.lang_code: row.description for row in texts} == described


def test_database_newer_than_the_service_is_left_alone(empty_app: Flask) -> None:
    init(empty_app)
    with empty_app.app_context():
        version = text("UPDATE order_statuses_alembic SET version_num = '9999'")
        db.session.execute(version)
        db.session.commit()

    assert init(empty_app).exit_code == 0
    with empty_app.app_context():
        assert db.session.scalar(migrations.VERSION) == "9999"


def test_init_makes_a_table_that_is_missing_and_says_so(empty_app: Flask) -> None:
    init(empty_app)
    execute(empty_app, "DROP TABLE order_statuses_key")
    repaired = init(empty_app)

    assert (repaired.exit_code, repaired.stderr.splitlines()[0]) == (
        0,
        "Missing tables were created: order_statuses_key.",
    )
    assert run(empty_app, "add-user", "new@shop.example").exit_code == 0
    assert "missing" not in init(empty_app).stderr


def test_init_that_makes_the_lock_again_leaves_the_statuses(empty_app: Flask) -> None:
    init(empty_app)
    changed = "UPDATE order_statuses_text SET description = 'Changed'"
    execute(empty_app, changed, "DROP TABLE order_statuses_change_tag")

    assert init(empty_app).exit_code == 0
    with empty_app.app_context():
        assert set(db.session.scalars(select(StatusText.description))) == {"Changed"}
        with transaction():
            assert db.session.get(Status, 3)


@pytest.mark.parametrize("made", [Base.metadata.sorted_tables, [Store.__table__]])
def test_init_takes_over_tables_that_no_migration_made(
    empty_app: Flask, made: list[Table]
) -> None:
    with empty_app.app_context():
        create_file()
        Base.metadata.create_all(db.engine, tables=made)

    assert init(empty_app).exit_code == 0
    with empty_app.app_context():
        assert len(list(db.session.scalars(select(Status)))) == 11
        assert db.session.scalar(migrations.VERSION) == migrations.versions()[0]


def test_init_refuses_tables_that_lack_a_column(empty_app: Flask) -> None:
    init(empty_app)
    execute(
        empty_app,
        "ALTER TABLE order_statuses_key DROP COLUMN created_on",
        "DROP TABLE order_statuses_alembic",
    )
    refused = init(empty_app)

    assert refused.exit_code == 1
    assert refused.stderr.startswith("Error: Nothing was changed. ")
    assert "created_on" in refused.stderr
    with empty_app.app_context():
        assert not db.inspect(db.engine).has_table("order_statuses_alembic")


@on_postgresql
@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_encoding_of_clients_is_ours_to_say(
    databases: PostgresDatabases, empty_database: str, encoding: str
) -> None:
    name = databases.name(empty_database)
    databases.execute(f"ALTER DATABASE {{}} SET client_encoding = '{encoding}'", name)
    with service(empty_database) as app:
        assert init(app).exit_code == 0

        with app.app_context():
            russian = db.get_or_404(StatusText, (1, "ru"))
            assert russian.description == "Обработан"


@on_postgresql
@pytest.mark.parametrize(
    ("encoding", "command"),
    [("LATIN1", "init"), ("SQL_ASCII", "init"), ("LATIN1", "seed")],
)
def test_database_that_cannot_hold_every_text_is_refused(
    databases: PostgresDatabases, encoding: str, command: str
) -> None:
    name = f"in_{encoding.lower()}"
    of_server = f"TEMPLATE template0 LOCALE 'C' ENCODING '{encoding}'"
    databases.execute(f"CREATE DATABASE {{}} {of_server}", name)
    url = databases.server.replace("/postgres?", f"/{name}?")
    with service(url) as app:
        refused = run(app, command)
        with app.app_context():
            tables = db.inspect(db.engine).get_table_names()
    databases.drop(url)

    assert refused.exit_code == 1
    assert refused.stderr == (
        f"Error: The database's encoding is {encoding}, which cannot hold every text. "
        "Create the database with ENCODING 'UTF8'.\n"
    )
    assert tables == []


@pytest.mark.slow
def test_ten_inits_at_once_leave_one_set_of_default_statuses(
    empty_database: str, empty_app: Flask
) -> None:
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "order-statuses", "init"]
    environment = {"DATABASE_URL": empty_database, "PATH": ""}
    inits = [subprocess.Popen(command, env=environment) for _ in range(10)]

    assert [process.wait(60) for process in inits] == [0] * 10
    with empty_app.app_context():
        count = select(func.count()).select_from(Status)
        assert db.session.scalar(count) == 11


@pytest.mark.slow
def test_init_waits_for_another_longer_than_a_request_would(
    empty_database: str,
) -> None:
    with (
        service(empty_database, ORDER_STATUSES_LOCK_TIMEOUT="1") as app,
        app.app_context(),
        ThreadPoolExecutor() as threads,
    ):
        with migrations.migrating():
            other = threads.submit(init, app)
            time.sleep(2)
            assert not other.done()

        assert other.result(60).exit_code == 0
