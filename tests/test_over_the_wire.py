"""What only a real server shows: bodies, headers and lines of the log, byte by byte."""

import os
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from sysconfig import get_path

import httpx
import pytest

from .conftest import ADMINISTRATOR, KEY, Databases, basic, on_sqlite
from .servers import ROOT, Server, free_port, responds, serving, stop, wait_until

pytestmark = [pytest.mark.slow, on_sqlite]

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


def test_chunked_body_under_uwsgi_is_411(database: str) -> None:
    """uWSGI would hand it over as an empty one."""
    address = f"127.0.0.1:{free_port()}"
    command = [str(Path(sys.executable).with_name("uwsgi")), "--module=wsgi:app"]
    command += [f"--http-socket={address}", "--die-on-term"]
    environment = {"DATABASE_URL": database, "PYTHONPATH": get_path("purelib")}
    headers = {"Authorization": CREDENTIALS, "Transfer-Encoding": "chunked"}

    with subprocess.Popen(command, cwd=ROOT, env=os.environ | environment) as server:
        try:
            wait_until(lambda: responds(f"http://{address}"))
            with closing(HTTPConnection(address, timeout=60)) as connection:
                connection.putrequest("PUT", STATUS)
                for header in headers.items():
                    connection.putheader(*header)
                connection.endheaders()  # and never its chunks
                status = connection.getresponse().status
        finally:
            stop(server)

    assert status == 411


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
