"""Several processes on one database: what one writes, the others read and keep."""

import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from .conftest import ADMINISTRATOR, KEY, basic
from .servers import SECONDS, Server, gunicorn, serving

pytestmark = pytest.mark.slow


@contextmanager
def administrator(server: str) -> Iterator[httpx.Client]:
    credentials = (ADMINISTRATOR, KEY + ADMINISTRATOR)
    with httpx.Client(base_url=f"{server}/api/2.0", auth=credentials) as client:
        yield client


@pytest.fixture
def two_servers(database: str) -> Iterator[list[httpx.Client]]:
    """Clients of two servers, of one process each, on one database."""
    with ExitStack() as started:
        servers = [started.enter_context(gunicorn(database)) for _ in range(2)]
        yield [started.enter_context(administrator(server)) for server in servers]


def test_what_one_process_writes_the_other_reads(
    two_servers: list[httpx.Client],
) -> None:
    writer, reader = two_servers
    for number in range(1000):
        text = f"Number {number}"
        writer.put("/statuses/2", json={"description": text}).raise_for_status()

        assert reader.get("/statuses/2").json()["description"] == text
        assert reader.get("/statuses").json()[1]["description"] == text
        writer, reader = reader, writer


def test_processes_share_out_the_letters(two_servers: list[httpx.Client]) -> None:
    def create(client: httpx.Client) -> list[httpx.Response]:
        return [
            client.post("/statuses", json={"description": "Packed"}) for _ in range(20)
        ]

    with ThreadPoolExecutor() as threads:
        created = [a for all_ in threads.map(create, two_servers) for a in all_]

    assert sorted(a.status_code for a in created) == [201] * 27 + [400] * 13
    letters = [status["status"] for status in two_servers[0].get("/statuses").json()]
    assert len(letters) == len(set(letters)) == 34


def test_no_update_of_params_is_lost(two_servers: list[httpx.Client]) -> None:
    def update(client: httpx.Client, key: str) -> None:
        for number in range(200):
            params = {f"{key}{number % 20}": str(number)}
            client.put("/statuses/2", json={"params": params}).raise_for_status()

    before = two_servers[0].get("/statuses/2").json()["params"]
    with ThreadPoolExecutor() as threads:
        list(threads.map(update, two_servers, "ab"))

    last = {f"{key}{n % 20}": str(n) for key in "ab" for n in range(180, 200)}
    assert two_servers[1].get("/statuses/2").json()["params"] == before | last


@pytest.fixture
def workers(database: str) -> Iterator[httpx.Client]:
    """A client of two processes with one thread each."""
    credentials = (ADMINISTRATOR, KEY + ADMINISTRATOR)
    with (
        serving(database, 2) as server,
        httpx.Client(base_url=f"{server.url}/api/2.0", auth=credentials) as client,
    ):
        yield client


def at_once(*requests: httpx.Request, by: httpx.Client) -> list[int]:
    with ThreadPoolExecutor(len(requests)) as threads:
        return [response.status_code for response in threads.map(by.send, requests)]


def test_updates_of_different_fields_both_survive(workers: httpx.Client) -> None:
    for number in map(str, range(30)):
        changes = {"description": number}, {"email_subj": number}
        updates = [workers.build_request("PUT", "/statuses/2", json=c) for c in changes]

        assert at_once(*updates, by=workers) == [200, 200]
        status = workers.get("/statuses/2").json()
        assert (status["description"], status["email_subj"]) == (number, number)


@pytest.mark.parametrize(
    ("change", "outcomes"),
    [
        # The update first, or the deletion.
        ({"description": "Changed"}, {(200, 204, 404), (404, 204, 404)}),
        ({"is_default": "Y"}, {(200, 400, 200), (404, 204, 404)}),
    ],
)
def test_responses_to_a_deletion_and_an_update_are_true(
    workers: httpx.Client,
    change: dict[str, str],
    outcomes: set[tuple[int, int, int]],
) -> None:
    for _ in range(20):
        body = {"description": "Packed", "params": {"color": "#000000"}}
        created = workers.post("/statuses", json=body).headers["Location"]
        address = created.removeprefix("/api/2.0")
        requests = [
            workers.build_request("PUT", address, json=change),
            workers.build_request("DELETE", address),
        ]

        update, deletion = at_once(*requests, by=workers)

        assert (update, deletion, workers.get(address).status_code) in outcomes


def test_condition_is_compared_when_the_body_has_arrived(database: str) -> None:
    """The first write to begin is the last to end, and the cache has what it saw."""
    path, credentials = "/api/2.0/statuses/2", (ADMINISTRATOR, KEY + ADMINISTRATOR)
    with serving(database, WEB_THREADS="2") as server:
        address = server.url + path

        def read() -> httpx.Response:
            return httpx.get(address, auth=credentials)

        tag = read().headers["ETag"]
        assert read().headers["ETag"] == tag  # by the cache
        url = httpx.URL(address)
        with socket.create_connection((url.host, url.port or 80)) as slow:
            head = [
                f"PUT {path} HTTP/1.1",
                f"Host: {url.host}",
                f"Authorization: {basic(*credentials)}",
                f"If-Match: {tag}",
                "Content-Length: 17",
                "Connection: close",
            ]
            slow.sendall("\r\n".join([*head, "", ""]).encode())
            wait_until_idle(server)  # it knows the sender, and the token of that time
            quick = httpx.put(
                address,
                content="description=Quick",
                headers={"If-Match": tag},
                auth=credentials,
            )
            slow.sendall(b"description=Slow!")
            late = b"".join(iter(lambda: slow.recv(65536), b""))

        assert (quick.status_code, late.split()[1]) == (200, b"412")
        assert read().json()["description"] == "Quick"


def wait_until_idle(server: Server) -> None:
    """Wait until the workers have done nothing for a second."""
    before: object = None
    while before != (now := [worker.cpu_times() for worker in server.workers()]):
        before = now
        time.sleep(1)


def test_preloaded_workers_share_no_connection(database: str) -> None:
    """What the master has open, all workers have: it must not have the database."""
    with serving(database, 4, GUNICORN_CMD_ARGS="--preload") as server:
        for _ in range(20):
            assert httpx.get(f"{server.url}/readyz", timeout=SECONDS).is_success

        opened = open_files(server.process.pid)
        sockets = [name for name in opened if name.startswith("socket:")]

    assert len(sockets) == 1  # the listener
    assert not any(name.endswith((".db", "-wal", "-shm")) for name in opened)


def open_files(pid: int) -> list[str]:
    return [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
