"""The local administrator: developers, whom flask run serves without credentials."""

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
from flask.testing import FlaskClient

from order_statuses import local_admin
from order_statuses.local_admin import find_owner

from .conftest import BOUND, KEY, basic, fill, service
from .servers import Server, flask_run, nginx_of, serving, wait_until

STATUS = "/api/2.0/statuses/2"
LOCAL = "HTTP/1.1\r\nHost: 127.0.0.1"
WARNING = "WARNING: requests from this machine need no credentials."


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One for all tests, on SQLite: a local administrator is one on any database."""
    url = f"sqlite:///{tmp_path_factory.mktemp('database')}/statuses.db"
    fill(url)
    return url


@pytest.fixture(scope="module")
def server(database: str) -> Iterator[Server]:
    with flask_run(database, "127.0.0.1") as server:
        yield server


def status_of(url: str, head: str, host: str | None = None) -> int:
    """Send the rest of a request line and headers, to *host* if it has another name."""
    address = httpx.URL(url)
    with socket.create_connection((host or address.host, address.port or 80)) as sent:
        sent.sendall(f"GET {STATUS} {head}\r\nConnection: close\r\n\r\n".encode())
        return int(sent.makefile().readline().split()[1])


def description(server: Server) -> str:
    status: dict[str, str] = httpx.get(server.url + STATUS).json()
    return status["description"]


@pytest.mark.slow
def test_local_admin_reads_and_writes(server: Server) -> None:
    changed = httpx.put(server.url + STATUS, data={"description": "Changed"})

    assert changed.status_code == 200
    assert description(server) == "Changed"


@pytest.mark.slow
def test_contract_is_that_of_api_users_too(server: Server) -> None:
    document = httpx.get(f"{server.url}/api/2.0/openapi.json").json()

    assert document["components"]["securitySchemes"]["basic"]["scheme"] == "basic"


@pytest.mark.slow
def test_page_of_a_trusted_origin_is_no_local_admin(database: str) -> None:
    page = "https://admin.shop.example"
    with flask_run(
        database, "127.0.0.1", ORDER_STATUSES_TRUSTED_ORIGINS=page
    ) as server:
        for method in ("GET", "PUT"):
            refused = httpx.request(
                method, server.url + STATUS, headers={"Origin": page}
            )
            assert refused.status_code == 401


@pytest.mark.slow
@pytest.mark.parametrize("host", ["localhost:5000", "127.0.0.1", "[::1]:5000"])
def test_local_admin_may_use_each_name_of_this_machine(
    server: Server, host: str
) -> None:
    assert status_of(server.url, f"HTTP/1.1\r\nHost: {host}") == 200


@pytest.mark.slow
@pytest.mark.parametrize(
    ("server_address", "client_address"),
    [
        ("::1", "::1"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "::ffff:127.0.0.1"),
    ],
)
def test_local_admin_may_use_ipv6(
    database: str, server_address: str, client_address: str
) -> None:
    with flask_run(database, server_address) as server:
        assert status_of(server.url, LOCAL, client_address) == 200


@pytest.mark.slow
@pytest.mark.parametrize(
    "head",
    [
        "HTTP/1.0\r\nHost: 127.0.0.1",
        "HTTP/1.1\r\nHost: shop.example",
        "HTTP/1.1\r\nHost: localhost.shop.example",
        "HTTP/1.1\r\nHost: 127.0.0.1.shop.example",
        "HTTP/1.1\r\nHost:",
        "HTTP/1.1",
        f"{LOCAL}\r\nAuthorization: {basic('nobody@shop.example', 'key')}",
        f"{LOCAL}\r\nAuthorization:",
        f"{LOCAL}\r\nForwarded: for=192.0.2.1",
        f"{LOCAL}\r\nVia: 1.1 proxy",
        f"{LOCAL}\r\nX-Real-IP: 127.0.0.1",
        f"{LOCAL}\r\nX-Forwarded-For: 127.0.0.1",
        f"{LOCAL}\r\nX-Forwarded-Proto: https",
        f"{LOCAL}\r\nX-Forwarded-Anything:",
        f"{LOCAL}\r\nSec-Fetch-Site: cross-site",
        f"{LOCAL}\r\nOrigin: https://evil.example",
        f"{LOCAL}\r\nOrigin: null",
    ],
)
def test_others_are_asked_for_credentials(server: Server, head: str) -> None:
    assert status_of(server.url, head) == 401


@pytest.mark.slow
def test_credentials_of_local_requests_are_judged(server: Server) -> None:
    response = httpx.delete(server.url + STATUS, auth=(BOUND, KEY + BOUND))

    assert response.status_code == 403


@contextmanager
def nginx(url: str, folder: Path) -> Iterator[httpx.Client]:
    """A client of an nginx of another user's, set up in the plainest way."""
    listener = folder / "nginx.sock"
    settings = f"""
        listen unix:{listener};
        location / {{ proxy_pass {url}; proxy_http_version 1.1; }}
    """
    with nginx_of(settings, folder):
        wait_until(listener.exists)
        transport = httpx.HTTPTransport(uds=str(listener))
        with httpx.Client(transport=transport, base_url=url) as client:
            yield client


@pytest.mark.slow
def test_nginx_is_not_the_local_admin(server: Server, tmp_path: Path) -> None:
    before = description(server)

    with nginx(server.url, tmp_path) as client:
        read = client.get(STATUS)
        changed = client.put(STATUS, data={"description": "Stolen"})

    assert (read.status_code, changed.status_code) == (401, 401)
    assert description(server) == before


SEND = r"""
for n in {1..100}; do
    exec 3<>/dev/tcp/127.0.0.1/$0
    printf '%s\r\n' "PUT $1 HTTP/1.1" 'Host: 127.0.0.1' 'Content-Length: 18' '' >&3
    printf description=Stolen >&3
    $2
    exec 3>&-
done
"""


@pytest.mark.slow
@pytest.mark.parametrize("wait", ["read -u 3", ""], ids=["wait", "close at once"])
def test_other_users_are_not_the_local_admin(server: Server, wait: str) -> None:
    before = description(server)
    earlier = len(server.log.read_text())
    port = str(httpx.URL(server.url).port)

    subprocess.run(["bash", "-c", SEND, port, STATUS, wait], user="nobody", check=True)

    def statuses() -> list[str]:
        return re.findall(
            r"PUT /\S+ HTTP/1.1\S* (\d+)", server.log.read_text()[earlier:]
        )

    wait_until(lambda: len(statuses()) == 100)
    assert set(statuses()) == {"401"}
    assert description(server) == before


@pytest.mark.slow
def test_database_that_was_left_empty_is_set_up(tmp_path: Path) -> None:
    (tmp_path / "left.db").touch()

    with flask_run(f"sqlite:///{tmp_path}/left.db", "127.0.0.1") as server:
        assert description(server) == "Complete"


@pytest.mark.slow
def test_local_admin_is_announced_in_one_line(server: Server) -> None:
    lines = server.log.read_text().splitlines()

    assert [line for line in lines if line.startswith(WARNING)] == [
        f"{WARNING} Never put a proxy in front of flask run."
    ]


@pytest.mark.slow
def test_there_is_no_local_admin_without_the_setting(database: str) -> None:
    with flask_run(database, "127.0.0.1", ORDER_STATUSES_LOCAL_ADMIN="no") as server:
        assert status_of(server.url, LOCAL) == 401
        assert WARNING not in server.log.read_text()


@pytest.mark.slow
def test_there_is_no_local_admin_under_gunicorn(database: str) -> None:
    with serving(database, ORDER_STATUSES_LOCAL_ADMIN="yes") as server:
        assert status_of(server.url, LOCAL) == 401
        assert WARNING not in server.log.read_text()


@pytest.fixture
def connection() -> Iterator[socket.socket]:
    """The server's end of a connection that this process has made."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as accepted,
    ):
        yield accepted


def under(command: str) -> click.Context:
    """Run as that command of flask does."""
    return click.Context(click.Command(command), info_name=command)


def test_other_commands_have_no_local_admin(database: str) -> None:
    with under("shell"), service(database, ORDER_STATUSES_LOCAL_ADMIN="yes") as app:
        settings = app.extensions["order_statuses"].settings
        assert settings["ORDER_STATUSES_IDENTIFY"] is None


@pytest.fixture
def local_client(database: str, connection: socket.socket) -> Iterator[FlaskClient]:
    """A client of ``flask run``, which is on this machine."""
    with under("run"), service(database, ORDER_STATUSES_LOCAL_ADMIN="yes") as app:
        client = app.test_client()
        local: Any = {"SERVER_PROTOCOL": "HTTP/1.1", "werkzeug.socket": connection}
        client.environ_base.update(local)
        yield client


def test_own_connection_is_the_local_admins(local_client: FlaskClient) -> None:
    assert local_client.delete("/api/2.0/statuses/3").status_code == 204


@pytest.mark.parametrize(
    "environ",
    [
        {"REMOTE_ADDR": "192.0.2.1"},
        {"REMOTE_ADDR": "::ffff:192.0.2.1"},
        {"REMOTE_ADDR": ""},
        {"werkzeug.socket": None},
    ],
)
def test_other_connections_are_not(
    local_client: FlaskClient, environ: dict[str, str | None]
) -> None:
    refused = local_client.get(STATUS, environ_overrides=environ)

    assert refused.status_code == 401


def test_nobody_is_the_local_admin_if_linux_does_not_tell(
    local_client: FlaskClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(local_admin, "CONNECTIONS", (tmp_path / "missing",))

    assert local_client.get(STATUS).status_code == 401


def test_other_systems_do_not_tell(
    local_client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")

    response = local_client.get(STATUS, environ_overrides={"werkzeug.socket": None})

    assert response.status_code == 200


ROWS = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1388 00000000:0000 0A 00000000:00000000 00:00000000 00000000     7        0 41 1 0
   1: 0100007F:1388 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     7        0 42 1 0
   2: 0100007F:9C40 0100007F:1388 01 00000000:00000000 00:00000000 00000000    33        0 43 1 0
   3: 0100007F:9C41 0100007F:1388 05 00000000:00000000 00:00000000 00000000    33        0 0 1 0
   4: 0200007F:9C42 0100007F:1388 01 00000000:00000000 00:00000000 00000000    33        0 44 1 0
   5: 0100007F:9C42 0200007F:1388 01 00000000:00000000 00:00000000 00000000    33        0 45 1 0
   6: 0000000000000000FFFF00000100007F:9C43 0000000000000000FFFF00000100007F:1388 01 00000000:00000000 00:00000000 00000000    34        0 46 1 0
   7: 00000000000000000000000001000000:9C44 00000000000000000000000001000000:1388 01 00000000:00000000 00:00000000 00000000    35        0 47 1 0
"""  # noqa: E501 - as Linux has them


@pytest.mark.parametrize(
    ("host", "port", "user"),
    [
        ("127.0.0.1", 0x9C40, 33),
        ("::ffff:127.0.0.1", 0x9C40, 33),
        ("127.0.0.1", 0x9C41, None),  # has closed it
        ("127.0.0.1", 0x9C42, None),  # of either address only one is the same
        ("127.0.0.1", 0x9C43, 34),
        ("::1", 0x9C44, 35),
        ("::1", 0x9C40, None),
        ("127.0.0.1", 0x9C44, None),
    ],
)
def test_owner_of_a_connection(host: str, port: int, user: int | None) -> None:
    own = "::1" if host == "::1" else "127.0.0.1"

    assert find_owner(ROWS.splitlines(), (host, port), (own, 5000)) == user
