"""Behind PgBouncer: a real one, whose few connections belong to each client in turn."""

import shutil
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import psycopg
import pytest
from sqlalchemy.engine import make_url

from order_statuses.database import db

from .conftest import ADMINISTRATOR, KEY, fill, on_postgresql, service
from .servers import free_port, gunicorn, is_open, stop, wait_until

pytestmark = [pytest.mark.slow, on_postgresql]

CONFIGURATION = """
[databases]
* = host={host} user=postgres

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {size}
user = {user}
"""


@contextmanager
def pgbouncer(database: str, mode: str, size: int) -> Iterator[str]:
    """Yield the URL of *database* behind PgBouncer."""
    url = make_url(database)
    host = Path(str(url.query["host"]))
    port = free_port()
    with TemporaryDirectory() as folder:
        file = Path(folder) / "pgbouncer.ini"
        file.write_text(
            CONFIGURATION.format(
                host=host, port=port, mode=mode, size=size, user=host.owner()
            )
        )
        Path(folder).chmod(0o755)
        program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin")
        assert program, "apt-get install pgbouncer"
        with Popen([program, "--quiet", str(file)]) as process:
            try:
                wait_until(lambda: is_open(port))
                yield f"postgresql://anyone@127.0.0.1:{port}/{url.database}"
            finally:
                stop(process)


# With session pooling, each of four workers holds a connection.
@pytest.mark.parametrize(("mode", "size"), [("session", 4), ("transaction", 2)])
def test_all_requests_work_behind_pgbouncer(
    empty_database: str, mode: str, size: int
) -> None:
    with pgbouncer(empty_database, mode, size) as url:
        fill(url)
        with gunicorn(url, workers=4) as server, ThreadPoolExecutor(6) as threads:
            seen = [s for n in threads.map(ask, [server] * 6, range(6)) for s in n]

    assert Counter(seen) == {200: 300}


def ask(server: str, number: int) -> list[int]:
    credentials = (ADMINISTRATOR, KEY + ADMINISTRATOR)
    with httpx.Client(base_url=f"{server}/api/2.0", auth=credentials) as client:
        seen = []
        for turn in range(10):
            body = {"description": f"{number} {turn}"}
            responses = [
                client.put(f"/statuses/{number + 1}", json=body),
                client.get("/statuses"),
                client.get(f"/statuses/{number + 1}"),
                client.put(
                    f"/stores/1/statuses/{number + 1}", json={"email_subj": "x"}
                ),
                client.get("/stores/2/statuses?lang_code=ru"),
            ]
            assert responses[2].json()["description"] == body["description"]
            seen += [response.status_code for response in responses]
        return seen


def test_writes_keep_their_parameters_and_leave_nothing(database: str) -> None:
    url = make_url(database)
    weak = {
        "synchronous_commit": "off",
        "default_transaction_isolation": "serializable",
    }
    with psycopg.connect(database, autocommit=True) as connection:
        for name, value in weak.items():
            connection.execute(f"ALTER DATABASE {url.database} SET {name} = {value}")
    strong = {
        "transaction_isolation": "read committed",
        "synchronous_commit": "on",
        "lock_timeout": "15s",
        "statement_timeout": "20s",
    }
    with (
        pgbouncer(database, "transaction", size=1) as url_behind,
        service(url_behind) as app,
        app.app_context(),
    ):
        for _ in range(10):
            within = [show(db.session.connection().exec_driver_sql, n) for n in strong]
            db.session.commit()
        with psycopg.connect(url_behind, autocommit=True) as other:
            after = [show(other.execute, name) for name in (*weak, "lock_timeout")]
            prepared = other.execute("SELECT count(*) FROM pg_prepared_statements")
            assert prepared.fetchone() == (0,)

    assert within == list(strong.values())
    assert after == [*weak.values(), "0"]


def show(execute: Any, name: str) -> str:
    (value,) = execute(f"SHOW {name}").fetchone()
    return str(value)
