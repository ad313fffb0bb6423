"""Produce each fault, print what was written and what was lost: ``make soak``."""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

from tests import faults
from tests.conftest import (
    Databases,
    PostgresDatabases,
    SqliteDatabases,
    fill,
)
from tests.faults import Outcome

ROW = "{:<34}{:<11}{:>13}{:>8}{:>6}{:>8}{:>16}{:>9}"

# What is done, how often, and how.
ON_BOTH: list[tuple[str, int, Callable[[str], Outcome]]] = [
    ("kill -9 of all processes", 5, faults.kill_service),
    ("SIGTERM", 1, faults.terminate),
    ("SIGTERM, 2 threads a worker", 1, partial(faults.terminate, threads=2)),
    ("SIGHUP, three times", 1, faults.reload),
    ("8 writers, 4 processes, 10 s", 1, partial(faults.crowd, seconds=10)),
]


def outcomes() -> Iterator[tuple[str, str, Outcome]]:
    """Yield each fault's name, its database and what it did."""
    with TemporaryDirectory() as folder, faults.postgres_to_kill() as postgres:
        kinds: dict[str, Databases] = {
            "SQLite": SqliteDatabases(Path(folder)),
            "PostgreSQL": PostgresDatabases(postgres.url),
        }
        for (name, times, fault), kind in product(ON_BOTH, kinds):
            done = [fault(filled(kinds[kind])) for _ in range(times)]
            yield f"{times} x {name}", kind, total(done)
    done = [faults.kill_database() for _ in range(5)]
    yield "5 x kill -9 of the database", "PostgreSQL", total(done)
    done = [faults.fail_over() for _ in range(3)]
    yield "3 x failover to a standby", "PostgreSQL", total(done)


def total(done: list[Outcome]) -> Outcome:
    *counts, slowest = zip(*done, strict=True)
    return Outcome._make([*map(sum, counts), max(slowest)])


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
