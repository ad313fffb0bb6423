"""A database that is away, slow, full or closed to writers: 503, and not for ever."""

import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, text, update

from order_statuses.database import db, fetch
from order_statuses.models import ChangeTag, User

from .conftest import (
    ADMINISTRATOR,
    client_of,
    engine_of,
    on_postgresql,
    on_sqlite,
    service,
)

STATUSES = "/api/2.0/statuses"
UNAVAILABLE = {
    "message": "Service Unavailable: The database cannot do this now; try again.",
    "status": 503,
}
# And wait for each to be gone.
CLOSE_OTHERS = """
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND datname = current_database()
"""
COUNT_OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND datname = current_database()
"""


@contextmanager
def administrator(url: str, **settings: Any) -> Iterator[FlaskClient]:
    with service(url, **settings) as app:
        yield client_of(app, ADMINISTRATOR)


def write(client: FlaskClient, **request: Any) -> int:
    return client.put(f"{STATUSES}/2", data="description=Test", **request).status_code


def with_parameter(url: str, name: str, value: Any) -> str:
    return f"{url}&options=-c%20{name}%3D{value}"


def assert_unavailable(client: FlaskClient) -> None:
    started = time.monotonic()

    response = client.get(STATUSES)

    assert (response.status_code, response.json) == (503, UNAVAILABLE)
    assert int(response.headers["Retry-After"]) > 0
    assert time.monotonic() - started < 10  # two seconds; a busy machine takes longer


@pytest.fixture
def port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield silent.getsockname()[1]


def test_postgresql_that_never_answers_is_503(port: int) -> None:
    with administrator(f"postgresql://shop:secret@127.0.0.1:{port}/statuses") as client:
        assert_unavailable(client)


def test_postgresql_that_refuses_connections_is_503(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with administrator("postgresql://shop:secret@127.0.0.1:1/statuses") as client:
        assert_unavailable(client)

    assert "Connection refused" in caplog.text
    assert "secret" not in caplog.text


def test_sqlite_file_that_cannot_be_opened_is_503(tmp_path: Path) -> None:
    folder = tmp_path / "mounted"
    folder.mkdir()
    with administrator(f"sqlite:///{folder}/order_statuses.db") as client:
        folder.rmdir()

        assert_unavailable(client)


def remove(file: Path) -> None:
    file.unlink()


def replace(file: Path) -> None:
    shutil.move(shutil.copy(file, f"{file}.copy"), file)


@on_sqlite
@pytest.mark.parametrize("change", [remove, replace])
def test_write_to_a_file_that_is_no_longer_there_is_503(
    database: str, caplog: pytest.LogCaptureFixture, change: Callable[[Path], None]
) -> None:
    """It would be lost."""
    file = Path(database.removeprefix("sqlite:///"))
    with administrator(database) as client:
        before = client.get("/readyz").status_code
        change(file)
        responses = [
            client.put(f"{STATUSES}/2", json={"description": "Lost"}),
            client.get("/readyz"),
        ]

    assert [before, *(response.status_code for response in responses)] == [
        200,
        503,
        503,
    ]
    lost = f"{file} was replaced or removed. Restart the service."
    assert caplog.text.count(lost) == 2


@pytest.fixture
def impatient(database: str) -> Iterator[FlaskClient]:
    """The administrator of a service that does not wait for a connection."""
    with administrator(database, ORDER_STATUSES_POOL_TIMEOUT="0") as client:
        yield client


def test_exhausted_pool_is_503(impatient: FlaskClient) -> None:
    with ExitStack() as taken:
        for _ in range(15):
            taken.enter_context(engine_of(impatient.application).connect())

        assert_unavailable(impatient)
        assert write(impatient) == 503

    assert impatient.get(STATUSES).status_code == 200


@on_postgresql
def test_reads_and_writes_of_a_thread_need_one_connection(database: str) -> None:
    with administrator(database) as client, psycopg.connect(database) as observer:
        assert client.get(STATUSES).status_code == 200
        assert write(client) == 200
        assert client.get(STATUSES).status_code == 200

        assert observer.execute(COUNT_OTHERS).fetchone() == (1,)


@pytest.fixture
def held_database(database: str) -> Iterator[str]:
    """The URL of a database whose lock another writer holds."""
    with service(database) as app, app.app_context():
        db.session.execute(update(ChangeTag).values(tag="held"))
        yield database
        db.session.rollback()


@pytest.mark.parametrize("name", ["LOCK", "STATEMENT"])
def test_writer_waits_only_so_long_and_readers_never(
    held_database: str, name: str
) -> None:
    timeouts = {"LOCK": "1", "STATEMENT": "20"}
    if name == "STATEMENT" and held_database.startswith("postgresql"):
        timeouts = {"LOCK": "15", "STATEMENT": "1"}
    settings = {f"ORDER_STATUSES_{n}_TIMEOUT": v for n, v in timeouts.items()}
    with administrator(held_database, **settings) as client:
        assert write(client) == 503
        assert client.get(STATUSES).status_code == 200


@on_postgresql
def test_connections_that_the_server_closed_are_replaced(
    app: Flask, client: FlaskClient
) -> None:
    engine = engine_of(app)
    with ExitStack() as idle:
        for _ in range(5):
            idle.enter_context(engine.connect())
    with engine.connect() as connection:
        closed = connection.scalars(text(CLOSE_OTHERS)).all()
    assert len(closed) >= 4
    assert all(closed)

    with ExitStack() as taken:
        for _ in range(5):
            connection = taken.enter_context(engine.connect())
            connection.execute(select(ChangeTag.tag))
    assert client.get(STATUSES).status_code == 200


@on_postgresql
def test_connection_of_an_interrupted_read_is_not_used_again(
    app: Flask, client: FlaskClient
) -> None:
    class Interrupted(BaseException):
        """What a server raises in a worker that is late."""

    def interrupt(*_: Any) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(Interrupted):
            fetch(engine_of(app), select(func.pg_sleep(10)), {})
    finally:
        signal.signal(signal.SIGALRM, before)

    assert client.get(STATUSES).status_code == 200


@on_postgresql
def test_database_that_takes_no_writes_is_503_for_writers(database: str) -> None:
    read_only = with_parameter(database, "default_transaction_read_only", "on")
    with administrator(read_only) as client:
        assert write(client) == 503
        assert client.get(STATUSES).status_code == 200


@on_postgresql
def test_slow_sender_holds_no_transaction(database: str) -> None:
    class Slow(BytesIO):
        def readinto(self, buffer: Any) -> int:
            time.sleep(0.8)
            return super().readinto(buffer)

    impatient = with_parameter(database, "idle_in_transaction_session_timeout", 500)
    with administrator(impatient) as client:
        sent = Slow(b"description=Test")
        response = client.put(f"{STATUSES}/2", input_stream=sent)

    assert response.status_code == 200


@on_postgresql
def test_timeouts_of_postgresql(app: Flask) -> None:
    shown = {
        "lock_timeout": "15s",
        "statement_timeout": "20s",
        "idle_in_transaction_session_timeout": "1min",
    }
    with app.app_context(), db.engine.connect() as connection:
        for name, value in shown.items():
            assert connection.exec_driver_sql(f"SHOW {name}").scalar() == value


@on_sqlite
def test_broken_sqlite_file_is_an_error_of_the_server(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    with open(database.removeprefix("sqlite:///"), "r+b") as file:
        file.write(b"not a database at all")

    with administrator(database, TESTING=False) as client:
        response = client.get(STATUSES)

    assert (response.status_code, response.mimetype) == (500, "application/json")
    assert "file is not a database" in caplog.text


def test_errors_are_logged_without_what_clients_sent(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    with service(database, TESTING=False) as app:
        with app.app_context():
            rename = f"ALTER TABLE {User.__tablename__} RENAME COLUMN email TO mail"
            db.session.execute(text(rename))
            db.session.commit()

        assert client_of(app, ADMINISTRATOR).get(STATUSES).status_code >= 500
    assert "email" in caplog.text
    assert ADMINISTRATOR not in caplog.text
