"""Commands in processes of their own, at once, with large files or unread output."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing.connection import wait
from pathlib import Path

import psutil
import psycopg
import pytest
from flask import Flask

from order_statuses.database import name
from order_statuses.schemas import STATUS_LETTERS

from .commands import NEW, change_tag, export, of
from .conftest import ADMINISTRATOR, client_of, service
from .servers import SECONDS, wait_until

pytestmark = pytest.mark.slow


def start(
    url: str, *arguments: str, output: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """Start a command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "flask", "--app", "wsgi", "order-statuses", *arguments],
        env=os.environ | {"DATABASE_URL": url},
        stdout=output,
        stderr=output,
    )


def test_applies_at_once_end_as_one_after_the_other(
    database: str, tmp_path: Path
) -> None:
    with service(database) as app:
        file = json.loads(export(app))
        for letter in "HJKL":
            of(file, "P")["params"] = {"letter": letter}
            new = NEW | {"status": letter, "status_id": 50}
            both = file | {"statuses": [*file["statuses"], new]}
            (tmp_path / letter).write_text(json.dumps(both))

        started = [start(database, "apply", str(tmp_path / name)) for name in "HJKL"]
        codes = [process.wait() for process in started]
        made = json.loads(export(app))

    new_ids = {s["status"]: s["status_id"] for s in made["statuses"]}
    assert codes == [0] * 4
    assert sorted(new_ids[letter] for letter in "HJKL") == [50, 51, 52, 53]
    last = of(made, "P")["params"]["letter"]
    assert new_ids[last] == 53


@pytest.fixture
def languages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Fifty languages, for commands in processes of their own."""
    codes = [f"{a}{b}" for a in "abcde" for b in "abcdefghij"]
    monkeypatch.setenv("ORDER_STATUSES_LANGUAGES", ",".join(codes))
    return codes


def large(languages: list[str], subject: str) -> str:
    """Return a file with 68,000 texts in stores, each with this *subject*."""
    text = {"email_subj": subject, "email_header": "<p>Thanks.</p>" * 5}
    texts = {code: {"description": "Processed"} | text for code in languages}
    in_stores = {str(store): dict.fromkeys(languages, text) for store in range(1, 21)}
    statuses = [
        {"type": type_, "status": letter, "texts": texts, "store_texts": in_stores}
        for type_ in "OG"
        for letter in STATUS_LETTERS
    ]
    stores = [{"store_id": n, "name": f"Store {n}"} for n in range(1, 21)]
    return json.dumps({"stores": stores, "statuses": statuses})


def server_of(url: str) -> psutil.Process | None:
    """Return the process of the database's server, which counts its sessions' time."""
    if not url.startswith("postgresql:"):
        return None
    with psycopg.connect(url) as connection:
        (folder,) = connection.execute("SHOW data_directory").fetchone() or ("",)
    pid = (Path(folder) / "postmaster.pid").read_text().split()[0]
    return psutil.Process(int(pid))


def test_large_file_is_applied_in_time(
    empty_database: str, tmp_path: Path, languages: list[str]
) -> None:
    path, server = tmp_path / "file", server_of(empty_database)
    assert start(empty_database, "init").wait() == 0
    for subject, *options in (["new"], ["changed", "--prune"], ["changed"]):
        path.write_text(large(languages, subject))
        before = sum(server.cpu_times()[:4]) if server else 0
        process = start(empty_database, "apply", str(path), *options)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        in_server = sum(server.cpu_times()[:4]) - before if server else 0

        assert process.returncode == 0
        # The processors' time: others may use the machine as well.
        assert usage.ru_utime + usage.ru_stime + in_server < 30
        assert usage.ru_maxrss < 300 * 1024


@pytest.fixture
def unread() -> Iterator[tuple[int, int]]:
    """A pipe that nobody reads: it holds 64 KiB."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def put_while(process: subprocess.Popen[bytes], app: Flask) -> int:
    """Return how an update ends while the *process* waits to print something."""
    assert process.poll() is None
    client = client_of(app, ADMINISTRATOR)
    written = client.put("/api/2.0/statuses/2", json={"description": "x"})
    process.kill()
    process.wait()
    return written.status_code


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_plan_that_nobody_reads_holds_up_no_write(
    database: str, tmp_path: Path, unread: tuple[int, int], options: list[str]
) -> None:
    stores = [{"store_id": n, "name": "x" * 255} for n in range(1, 1_000)]
    file = tmp_path / "file"
    file.write_text(json.dumps({"stores": stores, "statuses": []}))
    output, end = unread

    process = start(database, "apply", str(file), *options, output=end)
    assert wait([output], SECONDS) == [output]
    with service(database, ORDER_STATUSES_LOCK_TIMEOUT="1") as app:
        assert put_while(process, app) == 200


REMOVED = "To be removed: store 2 'Second store', 0 texts; users: none."


@pytest.mark.parametrize(
    ("command", "first"),
    [
        (["add-user", "new@shop.example"], "Database: {}"),
        (["remove-store", "2", "--yes"], REMOVED),
    ],
)
def test_message_that_nobody_reads_holds_up_no_write(
    database: str, unread: tuple[int, int], command: list[str], first: str
) -> None:
    with service(database, ORDER_STATUSES_LOCK_TIMEOUT="1") as app:
        with app.app_context():
            line = first.format(name()) + "\n"
        os.write(unread[1], bytes(64 * 1024 - len(line)))  # no more than that fits
        before = change_tag(app)
        process = start(database, *command, output=unread[1])
        wait_until(lambda: change_tag(app) != before)
        assert put_while(process, app) == 200
