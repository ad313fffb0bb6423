"""What only a real gunicorn shows: how it starts, what it refuses, what it logs."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path
from threading import Event

import httpx
import pytest

from .conftest import ADMINISTRATOR, KEY, Databases, basic
from .servers import (
    ROOT,
    Server,
    activated,
    clone,
    running,
    serving,
    wait_until,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("databases", ["sqlite"], indirect=True),
]

STATUS = "/api/2.0/statuses/2"
CREDENTIALS = basic(ADMINISTRATOR, KEY + ADMINISTRATOR)
HEAD = f"PUT {STATUS} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: "
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module", params=["1", "2"], ids=["sync", "threads"])
def server(
    request: pytest.FixtureRequest, databases: Databases, template: str
) -> Iterator[Server]:
    """One worker, of either kind."""
    with serving(databases.create(template), WEB_THREADS=request.param) as server:
        yield server


def send(
    server: Server, *pieces: bytes, head: str = HEAD + CREDENTIALS, end: bool = False
) -> tuple[int, bytes]:
    """Send a request as it stands, and *end* what is sent; return status and body."""
    address = httpx.URL(server.url)
    with socket.create_connection((address.host, address.port or 80), 60) as connection:
        connection.sendall(f"{head}\r\n".encode("latin-1") + b"".join(pieces))
        if end:
            connection.shutdown(socket.SHUT_WR)
        response = b"".join(iter(lambda: connection.recv(65536), b""))
    headers, _, body = response.partition(b"\r\n\r\n")
    return int(headers.split()[1]) if headers else 0, body


def description(server: Server) -> str:
    headers = {"Authorization": CREDENTIALS}
    response: dict[str, str] = httpx.get(server.url + STATUS, headers=headers).json()
    return response["description"]


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize(("credentials", "status"), [(CREDENTIALS, 413), ("", 401)])
def test_sender_of_a_refused_body_sees_the_response(
    server: Server, chunked: bool, credentials: str, status: int
) -> None:
    body = b"a" * 10_000_000
    headers = {"Authorization": credentials}

    # As most clients it sends all before it reads, and gives up if it cannot.
    address = httpx.URL(server.url).netloc.decode()
    with closing(HTTPConnection(address)) as connection:
        sent = iter([body]) if chunked else body
        connection.request("PUT", STATUS, sent, headers, encode_chunked=chunked)

        assert connection.getresponse().status == status


def test_broken_bodies_change_nothing(server: Server) -> None:
    before = description(server)
    bodies = [
        b"Content-Length: 99\r\n\r\ndescription=Te",
        CHUNKED + b"10\r\ndescription=Te",
        CHUNKED + b"10\r\ndescription=Test",
        CHUNKED + b"zz\r\ndescription=Test\r\n0\r\n\r\n",
        CHUNKED + b"10\r\ndescription=Test\r\n0\r\nbro ken: x\r\n\r\n",
    ]

    for body in bodies:
        status, response = send(server, body, end=True)
        assert (status, b"did not arrive whole" in response) == (400, True)

    assert description(server) == before
    assert "Traceback" not in server.log.read_text()


def test_two_lengths_are_refused(server: Server) -> None:
    before = description(server)
    lies = [
        b"Content-Length: 16\r\nContent-Length: 17\r\n\r\ndescription=Test",
        b"Content-Length: -1\r\n\r\ndescription=Test",
        b"Content-Length: 5\r\n" + CHUNKED + b"10\r\ndescription=Test\r\n0\r\n\r\n",
    ]

    assert [send(server, lie)[0] for lie in lies] == [400, 400, 400]
    assert description(server) == before


def test_chunked_body_is_read(server: Server) -> None:
    body = b"c\r\ndescription=\r\n4\r\nTest\r\n0\r\n\r\n"

    assert send(server, CHUNKED, body)[0] == 200
    assert description(server) == "Test"


def test_log_has_one_line_a_request_whatever_clients_send(server: Server) -> None:
    line = "\n127.0.0.1 [forged]"
    name = b64encode(f"admin{line}:key".encode()).decode()
    close = "\r\nConnection: close\r\nHost: x"
    heads = [
        f"GET /api/2.0/%0a127.0.0.1%20[forged] HTTP/1.1{close}",
        f"GET /api/2.0/statuses?a=%0d%0a127.0.0.1%20[forged] HTTP/1.1{close}",
        f"GET /livez HTTP/1.1{close}\r\nAuthorization: Basic {name}",
        f"GET {STATUS} HTTP/1.1{close}\r\nAuthorization: Basic {name}",
        f"GET /livez HTTP/1.1{close}\r\nUser-Agent: a{line}",
        f"GET /a{line} HTTP/1.1{close}",
        f"GET /a\r127.0.0.1 [forged] HTTP/1.1{close}",
        f"G{line} / HTTP/1.1{close}",
        f"GET /livez HTTP/1.1{close}\r\nX\r127.0.0.1 [forged]: a",
    ]

    statuses = [send(server, b"\r\n", head=head)[0] for head in heads]

    assert statuses == [401, 401, 200, 401, 400, 400, 400, 400, 400]
    # What begins a line is a time or an address followed by a time, never theirs.
    lines = server.log.read_text().splitlines()
    assert [line for line in lines if line.startswith("127.0.0.1 [forged]")] == []


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-Proto": "https", "X-Forwarded-Ssl": "off"},
        {"SCRIPT_NAME": "/zzz"},
        {"SCRIPT_NAME": "/api"},
        {"PATH_INFO": "/zzz"},
    ],
)
def test_no_header_changes_the_address(server: Server, headers: dict[str, str]) -> None:
    headers |= {"Authorization": CREDENTIALS}

    response = httpx.get(server.url + STATUS, headers=headers)

    assert response.status_code == 200
    assert response.json()["status_id"] == "2"


def start(*options: str, **settings: str) -> tuple[int, list[str]]:
    """Start gunicorn, which refuses; return its status, and what is not its own log."""
    command = [sys.executable, "-m", "gunicorn", *options, "wsgi:app"]
    ended = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=60,
    )
    own = [line for line in ended.stderr.splitlines() if not line.startswith("[")]
    return ended.returncode, own


TYPES = "ORDER_STATUSES_TYPES must be distinct capital letters such as O,G."


def test_each_start_with_a_wrong_setting_prints_one_line(
    database: str, tmp_path: Path
) -> None:
    """And ends with status 3, without a pid file."""

    def fail(number: int) -> tuple[int, list[str]]:
        options = ("--bind=127.0.0.1:0", f"--pid={tmp_path}/{number}")
        settings = {"DATABASE_URL": database, "ORDER_STATUSES_TYPES": "x"}
        return start(*options, WEB_CONCURRENCY="2", **settings)

    with ThreadPoolExecutor(2) as threads:
        ends = list(threads.map(fail, range(6)))

    assert ends == [(3, [TYPES])] * 6
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value", "range_"),
    [
        ("WEB_CONCURRENCY", "0", "1 to 1000"),
        ("WEB_THREADS", "0", "1 to 1000"),
        ("WEB_THREADS", "two", "1 to 1000"),
        ("WEB_THREADS", "", "1 to 1000"),
        ("PORT", "x", "0 to 65535"),
        ("PORT", "70000", "0 to 65535"),
    ],
)
def test_wrong_setting_of_gunicorn_is_named(
    database: str, name: str, value: str, range_: str
) -> None:
    ended = start(DATABASE_URL=database, **{name: value})

    assert ended == (3, [f"{name} must be a whole number from {range_}."])


def reloadable(folder: Path, database: str) -> tuple[list[str], dict[str, str]]:
    """Make a checkout in *folder*; return what starts its gunicorn."""
    clone(folder)
    options = ["--bind=127.0.0.1:0", f"--pid={folder}/pid", "wsgi:app"]
    command = [sys.executable, "-m", "gunicorn", *options]
    settings = {"DATABASE_URL": database, "WEB_CONCURRENCY": "2"}
    return command, os.environ | settings


def test_start_names_the_default_database(database: str, tmp_path: Path) -> None:
    command, environment = reloadable(tmp_path, database)
    del environment["DATABASE_URL"]

    with running(command, tmp_path, environment) as server:
        ready = httpx.get(f"{server.url}/readyz", timeout=60)
        log = server.log.read_text()

    file = tmp_path / "instance" / "order_statuses.db"
    why = "the default, since DATABASE_URL is not set"
    assert f"Database: sqlite:///{file}, {why}\n" in log
    assert (ready.status_code, file.exists()) == (503, False)


def test_start_names_the_database_once_and_without_its_password(
    database: str, tmp_path: Path
) -> None:
    url = "postgresql://shop:secret@127.0.0.1:1/statuses"
    command, environment = reloadable(tmp_path, url)

    with running(command, tmp_path, environment) as server:
        httpx.get(f"{server.url}/readyz", timeout=60)
        log = server.log.read_text()

    assert log.count("Database: ") == 1
    assert "Database: postgresql://shop:***@127.0.0.1:1/statuses\n" in log
    assert "secret" not in log


def test_reload_serves_changed_code(database: str, tmp_path: Path) -> None:
    command, environment = reloadable(tmp_path, database)
    config = tmp_path / "config.py"

    with running(command, tmp_path, environment) as server:
        changed = re.sub(
            "(?m)^__version__ = .*", '__version__ = "after"', config.read_text()
        )
        config.write_text(changed)
        server.process.send_signal(signal.SIGHUP)

        url = f"{server.url}/readyz"
        wait_until(lambda: '"after"' in httpx.get(url, timeout=60).text)


def test_reload_onto_a_wrong_setting_ends_as_a_start_does(
    database: str, tmp_path: Path
) -> None:
    command, environment = reloadable(tmp_path, database)

    with running(command, tmp_path, environment) as server:
        with (tmp_path / "gunicorn.conf.py").open("a") as settings:
            settings.write('raw_env = ["ORDER_STATUSES_TYPES=x"]')
        server.process.send_signal(signal.SIGHUP)
        status = server.process.wait(60)
        log = server.log.read_text()

    assert status == 3
    assert log.count(TYPES) == 1
    assert "Traceback" not in log
    assert not (tmp_path / "pid").exists()


@pytest.mark.parametrize("threads", ["1", "2"])
def test_restart_loses_no_request(database: str, threads: str) -> None:
    """With a socket that stays open, as systemd's does."""
    stopped = Event()

    def ask(url: str) -> list[int]:
        headers = {"Authorization": CREDENTIALS}
        seen: list[int] = []
        while not stopped.is_set():
            for body in (None, b"description=Sent"):
                method = "PUT" if body else "GET"
                response = httpx.request(
                    method, url, content=body, headers=headers, timeout=120
                )
                seen.append(response.status_code)
        return seen

    with (
        socket.create_server(("127.0.0.1", 0), backlog=128) as listener,
        ThreadPoolExecutor() as clients,
        ExitStack() as on_error,
    ):
        on_error.callback(stopped.set)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}{STATUS}"
        asking = [clients.submit(ask, url) for _ in range(4)]
        for _ in range(2):
            with activated(listener, database, WEB_THREADS=threads):
                time.sleep(2)
        with activated(listener, database, WEB_THREADS=threads):
            time.sleep(2)
            stopped.set()
            seen = [status for client in asking for status in client.result()]

    assert set(seen) == {200}
    assert len(seen) > 10
