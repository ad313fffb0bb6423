"""How the service starts, by gunicorn and by flask run, and what it refuses then."""

import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from .conftest import on_sqlite
from .servers import (
    ROOT,
    SECONDS,
    clean_environment,
    clone,
    running,
    serving,
    wait_until,
)

pytestmark = pytest.mark.slow


def test_flask_run_serves_a_fresh_checkout(tmp_path: Path) -> None:
    clone(tmp_path)
    command = [sys.executable, "-m", "flask", "run", "--port=0"]

    with running(command, tmp_path, clean_environment()) as server:
        address = f"{server.url}/api/2.0/statuses"
        listed = httpx.get(address)
        proxied = httpx.get(address, headers={"X-Forwarded-For": "192.0.2.1"})

    assert (listed.status_code, len(listed.json())) == (200, 7)
    assert proxied.status_code == 401
    assert (tmp_path / "instance" / "order_statuses.db").exists()


@on_sqlite
@pytest.mark.parametrize("application", ["wsgi:app", "app:create_app()"])
def test_gunicorn_serves_the_application_by_either_name(
    database: str, application: str
) -> None:
    with serving(database, application=application) as server:
        assert httpx.get(f"{server.url}/readyz").status_code == 200


@on_sqlite
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

    assert subprocess.run(command, cwd=ROOT, timeout=SECONDS).returncode == 0


# What is wrong is one line, and status 3.

TYPES = "ORDER_STATUSES_TYPES must be distinct capital letters such as O,G."


def start(*command: str, folder: Path = ROOT, **settings: str) -> tuple[int, list[str]]:
    """Start what is refused; return its status, and all but the log of gunicorn."""
    ended = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=clean_environment() | settings,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    own = [line for line in ended.stderr.splitlines() if not line.startswith("[")]
    return ended.returncode, own


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
def test_wrong_setting_is_named_by_whichever_command(command: list[str]) -> None:
    assert start(*command, ORDER_STATUSES_TYPES="x") == (3, [TYPES])


def test_each_start_of_several_workers_names_it_once(tmp_path: Path) -> None:
    """And leaves no pid file."""

    def fail(number: int) -> tuple[int, list[str]]:
        options = ("--bind=127.0.0.1:0", f"--pid={tmp_path}/{number}", "wsgi:app")
        settings = {"ORDER_STATUSES_TYPES": "x", "WEB_CONCURRENCY": "2"}
        return start("gunicorn", *options, folder=ROOT, **settings)

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
def test_wrong_setting_of_gunicorn_is_named(name: str, value: str, range_: str) -> None:
    ended = start("gunicorn", "wsgi:app", folder=ROOT, **{name: value})

    assert ended == (3, [f"{name} must be a whole number from {range_}."])


def test_folder_of_the_database_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    clone(tmp_path)
    (tmp_path / "instance").write_text("a file, not a folder")
    status, (line,) = start("flask", "order-statuses", "init", folder=tmp_path)

    assert status == 3
    assert line.startswith("DATABASE_URL must be a file in a folder that can")


# A checkout of its own, which a test may change.


def reloadable(folder: Path, **settings: str) -> tuple[list[str], dict[str, str]]:
    """Make a checkout in *folder*; return what starts its gunicorn."""
    clone(folder)
    options = ["--bind=127.0.0.1:0", f"--pid={folder}/pid", "wsgi:app"]
    command = [sys.executable, "-m", "gunicorn", *options]
    return command, clean_environment() | {"WEB_CONCURRENCY": "2"} | settings


def test_start_names_the_default_database(tmp_path: Path) -> None:
    command, environment = reloadable(tmp_path)

    with running(command, tmp_path, environment) as server:
        ready = httpx.get(f"{server.url}/readyz", timeout=SECONDS)
        log = server.log.read_text()

    file = tmp_path / "instance" / "order_statuses.db"
    why = "the default, since DATABASE_URL is not set"
    assert f"Database: sqlite:///{file}, {why}\n" in log
    assert (ready.status_code, file.exists()) == (503, False)


def test_start_names_the_database_once_and_without_its_password(tmp_path: Path) -> None:
    url = "postgresql://shop:secret@127.0.0.1:1/statuses"
    command, environment = reloadable(tmp_path, DATABASE_URL=url)

    with running(command, tmp_path, environment) as server:
        httpx.get(f"{server.url}/readyz", timeout=SECONDS)
        log = server.log.read_text()

    assert log.count("Database: ") == 1
    assert "Database: postgresql://shop:***@127.0.0.1:1/statuses\n" in log
    assert "secret" not in log


@on_sqlite
def test_reload_serves_changed_code(database: str, tmp_path: Path) -> None:
    command, environment = reloadable(tmp_path, DATABASE_URL=database)
    config = tmp_path / "config.py"

    with running(command, tmp_path, environment) as server:
        changed = re.sub(
            "(?m)^__version__ = .*", '__version__ = "after"', config.read_text()
        )
        config.write_text(changed)
        server.process.send_signal(signal.SIGHUP)

        url = f"{server.url}/readyz"
        wait_until(lambda: '"after"' in httpx.get(url, timeout=SECONDS).text)


@on_sqlite
def test_reload_onto_a_wrong_setting_ends_as_a_start_does(
    database: str, tmp_path: Path
) -> None:
    command, environment = reloadable(tmp_path, DATABASE_URL=database)

    with running(command, tmp_path, environment) as server:
        with (tmp_path / "gunicorn.conf.py").open("a") as settings:
            settings.write('raw_env = ["ORDER_STATUSES_TYPES=x"]')
        server.process.send_signal(signal.SIGHUP)
        status = server.process.wait(SECONDS)
        log = server.log.read_text()

    assert status == 3
    assert log.count(TYPES) == 1
    assert "Traceback" not in log
    assert not (tmp_path / "pid").exists()
