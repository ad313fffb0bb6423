"""Clients that send slowly: nginx waits for them, so that no worker has to."""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from .conftest import ADMINISTRATOR, KEY, basic, fill
from .servers import ROOT, Server, free_port, is_open, nginx_of, serving, wait_until

pytestmark = pytest.mark.slow

STATUS = "/api/2.0/statuses/2"
CREDENTIALS = basic(ADMINISTRATOR, KEY + ADMINISTRATOR)
PUT = f"PUT {STATUS} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
ADMIN_PUT = f"{PUT}Authorization: {CREDENTIALS}\r\n"
SENDERS = 8  # twice as many as the server serves at a time
PIECES = 10
LENGTH = len("description=") + PIECES
SOON = 12
UNREAD = "The rest of a refused body was not read"


class Machine(NamedTuple):
    """gunicorn, and the URL of the nginx in front of it."""

    server: Server
    nginx: str


@pytest.fixture(scope="module", params=["1", "2"], ids=["sync", "threads"])
def machine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """Two workers, of either kind, behind an nginx."""
    folder = tmp_path_factory.mktemp("slow")
    database = f"sqlite:///{folder}/statuses.db"
    fill(database)
    port = free_port()
    with (
        serving(database, workers=2, WEB_THREADS=request.param) as server,
        nginx_of(documented_nginx(port, server.url), folder),
    ):
        wait_until(lambda: is_open(port))
        yield Machine(server, f"http://127.0.0.1:{port}")


def documented_nginx(port: int, gunicorn: str) -> str:
    """Return the server block of deploy/nginx.conf for *port*, without TLS."""
    settings = (ROOT / "deploy" / "nginx.conf").read_text()
    _, _, server = settings.rpartition("\nserver {")
    server = server.rstrip().removesuffix("}")
    server = re.sub(r"(?m)^ *(ssl_|access_log).*\n", "", server)
    server = server.replace("listen 443 ssl", f"listen 127.0.0.1:{port}")
    return server.replace("http://127.0.0.1:8000", gunicorn)


def read(url: str) -> httpx.Response:
    headers = {"Authorization": CREDENTIALS}
    return httpx.get(url + STATUS, headers=headers, timeout=SOON)


def connect(url: str) -> socket.socket:
    address = httpx.URL(url)
    return socket.create_connection((address.host, address.port or 80), timeout=60)


def status_from(connection: socket.socket) -> int:
    """Return the status of the response, 0 for none, once the server has closed."""
    response = b""
    with suppress(ConnectionError):
        while received := connection.recv(65536):
            response += received
    return int(response.split()[1]) if response else 0


@pytest.mark.parametrize(
    ("head", "end", "status"),
    [
        (f"{ADMIN_PUT}Content-Length: {LENGTH}\r\n\r\ndescription=", "", 200),
        (
            f"{ADMIN_PUT}Transfer-Encoding: chunked\r\n\r\n{LENGTH:x}\r\ndescription=",
            "\r\n0\r\n\r\n",
            200,
        ),
        (f"{PUT}Content-Length: {LENGTH}\r\n\r\ndescription=", "", 401),
        (f"{ADMIN_PUT}User-Agent: ", "\r\nContent-Length: 0\r\n\r\n", 400),
    ],
    ids=["body", "chunked body", "refused body", "headers"],
)
def test_slow_senders_hold_no_worker_behind_nginx(
    machine: Machine, head: str, end: str, status: int
) -> None:
    server, url = machine
    workers = server.workers()
    senders = [connect(url) for _ in range(SENDERS)]
    for sender in senders:
        sender.sendall(head.encode())

    for _ in range(PIECES):
        for sender in senders:
            sender.sendall(b"a")
        assert read(url).status_code == 200
        time.sleep(0.1)

    for sender in senders:
        sender.sendall(end.encode())
    assert [status_from(sender) for sender in senders] == [status] * SENDERS
    assert server.workers() == workers
    for sender in senders:
        sender.close()


def test_sync_worker_that_waits_for_a_client_is_replaced(tmp_path: Path) -> None:
    """Without nginx; by default after 30 seconds."""
    database = f"sqlite:///{tmp_path}/statuses.db"
    fill(database)
    with serving(database, GUNICORN_CMD_ARGS="--timeout=10") as server:
        before = server.workers()
        with connect(server.url) as connection:
            connection.sendall(f"{ADMIN_PUT}Content-Length: 99\r\n\r\na".encode())
            wait_until(lambda: set(before).isdisjoint(server.workers()))

        assert read(server.url).status_code == 200


@pytest.mark.parametrize("pieces", [1, 1000], ids=["stopped", "endless"])
def test_rest_of_a_refused_body_is_not_waited_for(
    machine: Machine, pieces: int
) -> None:
    """Without nginx; and the log says that it was not read."""
    server, _ = machine
    logged = server.log.read_text().count(UNREAD)
    response = b""
    started = time.monotonic()

    with suppress(ConnectionError), connect(server.url) as connection:
        connection.sendall(f"{PUT}Content-Length: 999999999\r\n\r\n".encode())
        for _ in range(pieces):
            connection.sendall(b"a" * 1_000_000)
            connection.settimeout(0.1)
            with suppress(TimeoutError):
                response += connection.recv(65536)
            connection.settimeout(60)
        while received := connection.recv(65536):
            response += received

    assert response.startswith(b"HTTP/1.1 401 ")
    assert time.monotonic() - started < SOON
    assert server.log.read_text().count(UNREAD) == logged + 1
