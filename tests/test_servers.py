"""Real servers: several processes on one database, and flask run."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from .conftest import ADMINISTRATOR, KEY
from .servers import ROOT, answers, gunicorn, stop

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


def copy_checkout(folder: Path) -> None:
    for file in ROOT.iterdir():
        if file.suffix in {".py", ".json", ".yaml"} or file.name in {
            ".flaskenv",
            "migrations",
        }:
            copy = shutil.copytree if file.is_dir() else shutil.copy
            copy(file, folder / file.name)


def test_flask_run_serves_a_fresh_checkout(tmp_path: Path) -> None:
    copy_checkout(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    environment = {k: v for k, v in os.environ.items() if k != "DATABASE_URL"}
    command = [sys.executable, "-m", "flask", "run", "--port", port]
    url = f"http://127.0.0.1:{port}"

    with subprocess.Popen(command, cwd=tmp_path, env=environment) as server:
        while server.poll() is None and not answers(url):
            time.sleep(0.05)
        try:
            listed = httpx.get(f"{url}/api/2.0/statuses")
            proxied = httpx.get(
                f"{url}/api/2.0/statuses", headers={"X-Forwarded-For": "192.0.2.1"}
            )
        finally:
            stop(server)

    assert (listed.status_code, len(listed.json())) == (200, 7)
    assert proxied.status_code == 401
    assert (tmp_path / "instance" / "order_statuses.db").exists()
