"""Kills, stops, restarts and crowds: what was acknowledged is there, and whole."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Event

import httpx
import pytest

from . import faults
from .conftest import ADMINISTRATOR, KEY, on_sqlite
from .servers import activated

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


@on_sqlite
@pytest.mark.parametrize("threads", ["1", "2"])
def test_restart_loses_no_request(database: str, threads: str) -> None:
    """With a socket that stays open, as systemd's does."""
    stopped = Event()

    def ask(url: str) -> list[int]:
        known = (ADMINISTRATOR, KEY + ADMINISTRATOR)
        seen: list[int] = []
        while not stopped.is_set():
            for body in (None, b"description=Sent"):
                method = "PUT" if body else "GET"
                response = httpx.request(
                    method, url, content=body, auth=known, timeout=120
                )
                seen.append(response.status_code)
        return seen

    with (
        socket.create_server(("127.0.0.1", 0), backlog=128) as listener,
        ThreadPoolExecutor() as clients,
        ExitStack() as on_error,
    ):
        on_error.callback(stopped.set)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/api/2.0/statuses/2"
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
