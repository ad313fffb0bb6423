"""Measures how much one machine serves, as a table: a part of ``make bench``.

Of some rounds, a rate is the least and a size the greatest, so that a reader can plan
with them.
"""

import re
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from os import cpu_count
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import psycopg
from sqlalchemy import create_engine

from order_statuses.auth import USER_AND_KEYS
from tests import faults
from tests.conftest import (
    ADMINISTRATOR,
    Databases,
    PostgresDatabases,
    SqliteDatabases,
    fill,
)
from tests.servers import Server, nginx_by_tls, serving

from .bench import PUT, requests_a_second

ROUNDS = 3
PGBENCH_SECONDS = 5


def measure(databases: Databases, folder: Path) -> dict[str, str]:
    url = databases.create()
    fill(url)
    with ExitStack() as servers:
        one, two = (servers.enter_context(serving(url, n)) for n in (1, 2))
        https = servers.enter_context(nginx_by_tls(two.url, folder))
        return {
            "reads a second, one worker": least(lambda: requests_a_second(one.url)),
            "reads a second, two workers": least(lambda: requests_a_second(two.url)),
            "the same behind nginx with TLS": least(lambda: requests_a_second(https)),
            "updates a second, one worker": least(lambda: updates_a_second(one)),
            "updates a second, two workers": least(lambda: updates_a_second(two)),
            "memory of a worker": memory(two.workers()),
            "memory of the master": memory([psutil.Process(two.process.pid)]),
            "the read's statement in the database alone, all cores": in_database(url),
        }


def updates_a_second(server: Server) -> float:
    return requests_a_second(server.url, PUT, connections=4)


def least(measured: Callable[[], float]) -> str:
    return f"{min(measured() for _ in range(ROUNDS)):,.0f}"


def memory(processes: list[psutil.Process]) -> str:
    """Return what a process has for itself, at most: what it shares counts once."""
    most = max(process.memory_full_info().uss for process in processes)
    return f"{most / 2**20:.0f} MiB"


def in_database(url: str) -> str:
    """Return how often PostgreSQL executes the statement of a cached GET."""
    if not url.startswith("postgresql"):
        return "-"
    found = USER_AND_KEYS.params(email=ADMINISTRATOR).compile(
        create_engine("postgresql+psycopg://"), compile_kwargs={"literal_binds": True}
    )
    with TemporaryDirectory() as folder:
        script = Path(folder) / "statement.sql"
        script.write_text(f"{found};".replace("\n", " "))
        cores = str(cpu_count())
        options = ["-n", "-c8", f"-j{cores}", f"-T{PGBENCH_SECONDS}", "-Mprepared"]
        with psycopg.connect(url) as connection:
            connection.execute("ANALYZE")
        pgbench = str(faults.postgres_programs() / "pgbench")
        command = [pgbench, *options, "-f", str(script), url]
        done = subprocess.run(command, capture_output=True, check=True, text=True)
    (found_rate,) = re.findall(r"tps = ([\d.]+)", done.stdout)
    return f"{float(found_rate):,.0f}"


def main() -> None:
    with TemporaryDirectory() as folder, faults.postgres_to_kill() as postgres:
        columns = [
            measure(databases, Path(folder))
            for databases in (
                SqliteDatabases(Path(folder)),
                PostgresDatabases(postgres.url),
            )
        ]
    print("| | SQLite | PostgreSQL |\n| --- | --- | --- |")
    for name in columns[0]:
        print(f"| {name} | {columns[0][name]} | {columns[1][name]} |")


if __name__ == "__main__":
    main()
