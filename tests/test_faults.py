"""Kills, stops, reloads and crowds: what was acknowledged is there, and whole."""

import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from . import faults
from .conftest import ADMINISTRATOR, KEY, basic
from .servers import SECONDS, Server, serving

pytestmark = pytest.mark.slow


def test_killed_service_loses_nothing(database: str) -> None:
    outcome = faults.kill_service(database)

    assert outcome.is_harmless, outcome
    assert outcome.acknowledged >= 200


def test_killed_postgresql_loses_nothing_and_is_503() -> None:
    outcome = faults.kill_database()

    assert outcome.is_harmless, outcome
    assert outcome.acknowledged >= 250


def test_failover_loses_nothing_and_needs_no_restart() -> None:
    outcome = faults.fail_over()

    assert outcome.is_harmless, outcome
    assert outcome.acknowledged >= 251


def test_eight_writers_do_not_hinder_each_other(database: str) -> None:
    outcome = faults.crowd(database, seconds=5)

    assert outcome.is_harmless, outcome


@pytest.mark.parametrize("threads", [1, 2])
def test_service_that_is_told_to_stop_finishes_its_work(
    database: str, threads: int
) -> None:
    outcome = faults.terminate(database, threads)

    assert outcome.is_harmless, outcome


def test_reload_fails_no_request(database: str) -> None:
    outcome = faults.reload(database, times=1)

    assert outcome.is_harmless, outcome


@pytest.fixture
def administrator(database: str) -> Iterator[httpx.Client]:
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


def test_updates_of_different_fields_both_survive(administrator: httpx.Client) -> None:
    for number in map(str, range(30)):
        changes = {"description": number}, {"email_subj": number}
        updates = [
            administrator.build_request("PUT", "/statuses/2", json=c) for c in changes
        ]

        assert at_once(*updates, by=administrator) == [200, 200]
        status = administrator.get("/statuses/2").json()
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
    administrator: httpx.Client,
    change: dict[str, str],
    outcomes: set[tuple[int, int, int]],
) -> None:
    for _ in range(20):
        body = {"description": "Packed", "params": {"color": "#000000"}}
        created = administrator.post("/statuses", json=body).headers["Location"]
        address = created.removeprefix("/api/2.0")
        requests = [
            administrator.build_request("PUT", address, json=change),
            administrator.build_request("DELETE", address),
        ]

        update, deletion = at_once(*requests, by=administrator)

        assert (update, deletion, administrator.get(address).status_code) in outcomes


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
