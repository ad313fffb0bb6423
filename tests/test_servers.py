"""Real servers: several processes on one database, and flask run."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from sysconfig import get_path

import httpx
import pytest

from .conftest import ADMINISTRATOR, KEY, basic
from .servers import (
    ROOT,
    clone,
    free_port,
    gunicorn,
    responds,
    running,
    serving,
    stop,
    wait_until,
)

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


def test_chunked_body_under_uwsgi_is_411(database: str) -> None:
    """uWSGI would hand it over as an empty one."""
    address = f"127.0.0.1:{free_port()}"
    command = [str(Path(sys.executable).with_name("uwsgi")), "--module=wsgi:app"]
    command += [f"--http-socket={address}", "--die-on-term"]
    environment = {"DATABASE_URL": database, "PYTHONPATH": get_path("purelib")}
    headers = {
        "Authorization": basic(ADMINISTRATOR, KEY + ADMINISTRATOR),
        "Transfer-Encoding": "chunked",
    }

    with subprocess.Popen(command, cwd=ROOT, env=os.environ | environment) as server:
        try:
            wait_until(lambda: responds(f"http://{address}"))
            with closing(HTTPConnection(address, timeout=60)) as connection:
                connection.putrequest("PUT", "/api/2.0/statuses/2")
                for header in headers.items():
                    connection.putheader(*header)
                connection.endheaders()  # and never its chunks
                status = connection.getresponse().status
        finally:
            stop(server)

    assert status == 411


def test_flask_run_serves_a_fresh_checkout(tmp_path: Path) -> None:
    clone(tmp_path)
    environment = {k: v for k, v in os.environ.items() if k != "DATABASE_URL"}
    command = [sys.executable, "-m", "flask", "run", "--port=0"]

    with running(command, tmp_path, environment) as server:
        address = f"{server.url}/api/2.0/statuses"
        listed = httpx.get(address)
        proxied = httpx.get(address, headers={"X-Forwarded-For": "192.0.2.1"})

    assert (listed.status_code, len(listed.json())) == (200, 7)
    assert proxied.status_code == 401
    assert (tmp_path / "instance" / "order_statuses.db").exists()


@pytest.mark.parametrize("application", ["wsgi:app", "app:create_app()"])
def test_gunicorn_serves_the_application_by_either_name(
    database: str, application: str
) -> None:
    with serving(database, application=application) as server:
        assert httpx.get(f"{server.url}/readyz").status_code == 200


@pytest.mark.parametrize("name", [[], ["--app", "app"]])
def test_flask_runs_the_application_by_either_name(
    database: str, name: list[str]
) -> None:
    command = [sys.executable, "-m", "flask", *name, "run", "--port=0"]
    environment = os.environ | {"DATABASE_URL": database}
    with running(command, ROOT, environment) as server:
        assert httpx.get(f"{server.url}/api/2.0/statuses/1").status_code == 200


def test_app_is_imported_from_its_folder() -> None:
    command = [sys.executable, "-W", "error", "-c", "import app; app.create_app()"]

    assert subprocess.run(command, cwd=ROOT, timeout=60).returncode == 0


@pytest.mark.parametrize(
    "command",
    [
        ["flask", "run", "--port=0"],
        ["flask", "--app", "app", "run", "--port=0"],
        ["flask", "order-statuses", "users"],
        ["flask", "--app", "app", "order-statuses", "users"],
        ["gunicorn", "--bind=127.0.0.1:0", "wsgi:app"],
        ["gunicorn", "--bind=127.0.0.1:0", "app:create_app()"],
    ],
    ids=" ".join,
)
def test_wrong_setting_is_one_line_and_status_3(command: list[str]) -> None:
    """Through whichever name."""
    environment = os.environ | {"ORDER_STATUSES_TYPES": "x"}
    ended = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )

    own = [line for line in ended.stderr.splitlines() if not line.startswith("[")]
    assert own == ["ORDER_STATUSES_TYPES must be distinct capital letters such as O,G."]
    assert ended.returncode == 3
