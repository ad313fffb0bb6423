"""Clients that send a byte now and then: no worker waits for them for long."""

import re
import socket
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from runpy import run_path
from typing import Any, NamedTuple

import httpx
import pytest

from .conftest import ADMINISTRATOR, KEY, basic, fill
from .servers import ROOT, Server, serving

pytestmark = pytest.mark.slow

STATUS = "/api/2.0/statuses/2"
CREDENTIALS = basic(ADMINISTRATOR, KEY + ADMINISTRATOR)
HEADERS = {"Authorization": CREDENTIALS}
PUT = f"PUT {STATUS} HTTP/1.1\r\nHost: x\r\n"
ADMIN_PUT = f"{PUT}Authorization: {CREDENTIALS}\r\n"
# Instead of 10 and 5.
ARRIVAL_SECONDS, DRAIN_SECONDS = 2, 1
# gunicorn then gives each client two seconds to close its connection.
SOON = 12


class Slots(NamedTuple):
    """A server, and how many requests it serves at a time."""

    server: Server
    number: int


@pytest.fixture(scope="module", params=[1, 2], ids=["sync", "threads"])
def slots(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Slots]:
    """Two workers, of either kind."""
    folder = tmp_path_factory.mktemp("slow")
    settings = (ROOT / "gunicorn.conf.py").read_text()
    for name, number in (("ARRIVAL", ARRIVAL_SECONDS), ("DRAIN", DRAIN_SECONDS)):
        settings = re.sub(f"(?m)^({name}_SECONDS) = .*", rf"\1 = {number}", settings)
    (folder / "gunicorn.conf.py").write_text(settings)
    fill(f"sqlite:///{folder}/statuses.db")
    with serving(
        f"sqlite:///{folder}/statuses.db",
        workers=2,
        WEB_THREADS=str(request.param),
        GUNICORN_CMD_ARGS=f"--config={folder}/gunicorn.conf.py",
    ) as server:
        yield Slots(server, 2 * request.param)


def read(server: Server) -> dict[str, str]:
    response = httpx.get(server.url + STATUS, headers=HEADERS, timeout=60)
    status: dict[str, str] = response.json()
    return status


def connect(server: Server) -> socket.socket:
    address = httpx.URL(server.url)
    return socket.create_connection((address.host, address.port or 80), timeout=30)


class Held(NamedTuple):
    """What a sender got: a status, 0 for none, and for how long it could send."""

    status: int
    seconds: float


def trickle(server: Server, head: str, piece: bytes = b"a") -> Held:
    """Send *head*, then a *piece* every 0.1 s for as long as the server takes them."""
    response = b""
    started = time.monotonic()
    with suppress(ConnectionError), connect(server) as connection:
        connection.sendall(head.encode())
        connection.settimeout(0.1)
        while time.monotonic() < started + 3 * SOON:
            with suppress(TimeoutError):
                response += connection.recv(65536)
                time.sleep(0.1)
            connection.sendall(piece)
    status = int(response.split()[1]) if response else 0
    return Held(status, time.monotonic() - started)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (f"{ADMIN_PUT}Content-Length: 9999\r\n\r\ndescription=", 400),
        (f"{ADMIN_PUT}Transfer-Encoding: chunked\r\n\r\nfff\r\ndescription=", 400),
        (f"{PUT}Content-Length: 9999\r\n\r\n", 401),
        (f"{PUT}User-Agent: ", 0),
    ],
    ids=["body", "chunked body", "refused body", "headers"],
)
def test_slow_senders_do_not_hold_the_workers(
    slots: Slots, head: str, status: int
) -> None:
    server, number = slots
    with ThreadPoolExecutor() as threads:
        senders = [threads.submit(trickle, server, head) for _ in range(number)]
        time.sleep(0.5)
        started = time.monotonic()
        read(server)
        waited = time.monotonic() - started

    assert waited < SOON
    assert read(server)["description"] == "Complete"
    held = [sender.result() for sender in senders]
    assert [sender.status for sender in held] == [status] * number
    assert max(sender.seconds for sender in held) < SOON


@pytest.mark.parametrize(
    ("begun", "piece"),
    [("", b"a" * 100_000), ("a" * 5_000_000, b"a")],
    ids=["steady", "slow in the end"],
)
def test_refused_body_without_end_is_not_taken(
    slots: Slots, begun: str, piece: bytes
) -> None:
    head = f"{PUT}Content-Length: 999999999\r\n\r\n{begun}"

    held = trickle(slots.server, head, piece)

    assert held.status == 401
    assert held.seconds < SOON


def slowly(pieces: Iterable[bytes], pause: float) -> Iterator[bytes]:
    for piece in pieces:
        time.sleep(pause)
        yield piece


def test_sender_of_much_has_more_time(slots: Slots) -> None:
    pieces = [b"email_subj=steady&ignored=", *[b"a" * 65536] * 9]

    changed = httpx.put(
        slots.server.url + STATUS, content=slowly(pieces, 0.4), headers=HEADERS
    )

    assert changed.status_code == 200
    assert read(slots.server)["email_subj"] == "steady"


def test_each_request_of_a_connection_has_its_own_time(slots: Slots) -> None:
    with httpx.Client(base_url=slots.server.url, headers=HEADERS) as client:
        changed = [
            client.put(STATUS, content=slowly([b"email_subj=", b"late"], 0.75))
            for _ in range(3)
        ]

    assert [response.status_code for response in changed] == [200] * 3


def test_what_follows_a_late_body_is_no_request(slots: Slots) -> None:
    with connect(slots.server) as connection:
        connection.sendall(f"{ADMIN_PUT}Content-Length: 9999\r\n\r\n".encode())
        response = connection.recv(65536)
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        with suppress(ConnectionError):
            while received := connection.recv(65536):
                response += received

    assert response.startswith(b"HTTP/1.1 400 ")
    assert response.count(b"HTTP/1.1 ") == 1


class Conversation(NamedTuple):
    """A client's end of a connection, and what gunicorn reads the other end with."""

    client: socket.socket
    unreader: Any


@pytest.fixture
def conversation() -> Iterator[Conversation]:
    settings = run_path(str(ROOT / "gunicorn.conf.py"))
    client, server = socket.socketpair()
    with client, server:
        yield Conversation(client, settings["TimedUnreader"](server))


def test_nothing_more_is_read_once_the_time_is_over(conversation: Conversation) -> None:
    client, unreader = conversation
    client.sendall(b"in time")
    unreader.seconds = 0

    with pytest.raises(OSError, match="No more data"):
        unreader.chunk()


def test_pause_is_no_longer_than_the_time_left(conversation: Conversation) -> None:
    conversation.unreader.seconds = 0.1
    started = time.monotonic()

    with pytest.raises(OSError, match="No more data"):
        conversation.unreader.chunk()

    assert time.monotonic() - started < 5


def test_response_has_all_the_time(conversation: Conversation) -> None:
    client, unreader = conversation
    client.sendall(b"GET")

    assert unreader.chunk() == b"GET"
    assert unreader.sock.gettimeout() is None
