"""Produce each fault, print what was written and what was lost: ``make soak``."""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from order_statuses.tests import faults
from order_statuses.tests.conftest import (
    Databases,
    PostgresDatabases,
    SqliteDatabases,
    fill,
)
from order_statuses.tests.faults import Outcome

ROW = "{:<32}{:<12}{:>13}{:>8}{:>6}{:>8}{:>12}{:>9}"

Fault = Callable[[str], Outcome]

# What is done, how often, and how.
ON_BOTH: list[tuple[str, int, Fault]] = [
    ("kill -9 of all its processes", 5, faults.kill_service),
    ("SIGTERM", 1, faults.terminate),
    ("SIGTERM, 2 threads a worker", 1, lambda url: faults.terminate(url, threads=2)),
    ("SIGHUP", 1, faults.reload),
    ("8 writers, 4 processes, 10 s", 1, lambda url: faults.crowd(url, seconds=10)),
]


def outcomes() -> Iterator[tuple[str, str, Outcome]]:
    """Yield each fault's name, its database and what it did."""
    with TemporaryDirectory() as folder, faults.postgres_to_kill() as postgres:
        sqlite = SqliteDatabases(Path(folder))
        postgresql = PostgresDatabases(postgres.url)
        for name, times, fault in ON_BOTH:
            yield f"{times} x {name}", "SQLite", repeated(times, fault, sqlite)
            yield f"{times} x {name}", "PostgreSQL", repeated(times, fault, postgresql)
        kill = partial(faults.kill_database, postgres)
        yield "5 x kill -9 of it", "PostgreSQL", repeated(5, kill, postgresql)


def repeated(times: int, fault: Fault, databases: Databases) -> Outcome:
    """Do *fault* to new databases, and add up what it did."""
    *counts, slowest = zip(
        *[fault(filled(databases)) for _ in range(times)], strict=True
    )
    return Outcome(*map(sum, counts), max(slowest))


def filled(databases: Databases) -> str:
    url = databases.create()
    fill(url)
    return url


def main() -> None:
    print(ROW.format("", "", *Outcome._fields), flush=True)
    harmful = False
    for name, kind, outcome in outcomes():
        print(
            ROW.format(name, kind, *outcome[:-1], f"{outcome.slowest:.2f} s"),
            flush=True,
        )
        harmful = harmful or not outcome.is_harmless
    sys.exit(harmful)


if __name__ == "__main__":
    main()
