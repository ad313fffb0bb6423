"""Measures the service beside others in one run, as a table: ``make bench``.

Machines differ, and so do minutes on one machine: everything is measured in rounds, in
each of them one after the other, and what counts are the ratios within a round. The
table has their median, and behind it the least and the greatest.
"""

import cProfile
import json
import pstats
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from io import BytesIO
from itertools import cycle
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
from flask import Flask
from flask.typing import ResponseReturnValue
from sqlalchemy import insert, select
from werkzeug.test import EnvironBuilder

from order_statuses.caching import Cache
from order_statuses.database import SQLITE_PRAGMAS, db
from order_statuses.models import Status, StatusText, Store, StoreText
from order_statuses.schemas import STATUS_LETTERS
from tests import faults
from tests.conftest import (
    ADMINISTRATOR,
    KEY,
    Databases,
    PostgresDatabases,
    SqliteDatabases,
    basic,
    fill,
    service,
)
from tests.servers import ROOT, serving

ROUNDS = 7
SECONDS = 0.2  # of a round in process
WRK_SECONDS = 3

LIST = "/api/2.0/statuses"
CREDENTIALS = {"Authorization": basic(ADMINISTRATOR, KEY + ADMINISTRATOR)}
CODES = [f"x{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(48)]
LANGUAGES = ["en", "ru", *CODES]
STORES = range(3, 10_001)  # beside the two that are there
STATUSES = json.loads((ROOT / "seed.json").read_text(encoding="utf-8"))["statuses"][:7]

# What wrk sends instead of a GET: another text each time.
PUT = f"""
local number = 0
request = function()
  number = number + 1
  return wrk.format("PUT", "{LIST}/2", nil, "description=Text " .. number)
end
"""
UPDATE = "UPDATE order_statuses_text SET description = '{}' WHERE status_id = 2"

Call = Callable[[], object]
Column = dict[str, list[float] | str]  # what was measured: a number a round, or words

bare = Flask("bare")


@bare.get(LIST)
def statuses() -> ResponseReturnValue:
    """Return a list as any Flask view does, without a database or a caller."""
    texts = STATUSES[0]["texts"]["en"]
    return [{k: v for k, v in s.items() if k != "texts"} | texts for s in STATUSES]


def call(app: Flask, path: str = LIST, body: bytes = b"", **options: Any) -> Call:
    """Return a function that makes one request through the WSGI interface."""
    options = {"path": path, "data": body, "headers": CREDENTIALS, **options}
    environ = EnvironBuilder(**options).get_environ()

    def make() -> str:
        seen: list[str] = []

        def respond(status: str, *_: Any) -> Any:
            seen.append(status)

        response: Any = app({**environ, "wsgi.input": BytesIO(body)}, respond)
        b"".join(response)
        response.close()
        return seen[0]

    assert make()[0] in "23", make()
    return make


def put(app: Flask) -> Call:
    bodies = [b"description=One", b"description=Another"]
    calls = cycle([call(app, f"{LIST}/2", body, method="PUT") for body in bodies])
    return lambda: next(calls)()


def emptied(app: Flask) -> Call:
    listed = call(app)

    def make() -> None:
        app.extensions["order_statuses"].cache = Cache()
        listed()

    return make


def conditional(app: Flask) -> Call:
    etag = app.test_client().get(LIST, headers=CREDENTIALS).headers["ETag"]
    return call(app, headers={**CREDENTIALS, "If-None-Match": etag})


def in_process(app: Flask, full: Flask) -> Column:
    """Measure the service and one with many statuses, beside the bare view."""
    bare_view = call(bare)
    calls = {
        "list of 7, cached": call(app),
        "one status, cached": call(app, f"{LIST}/2"),
        "list of 7, 304": conditional(app),
        "list of 7, not cached": emptied(app),
        "list of 34 among 50 languages and 10,000 stores, cached": call(full),
        "the same, not cached": emptied(full),
        "PUT of a text": put(app),
    }
    column: Column = {
        f"{name}, in process, x a bare Flask view": ratios(made, bare_view)
        for name, made in calls.items()
    }
    return column


def ratios(made: Call, other: Call) -> list[float]:
    return [seconds_a(made) / seconds_a(other) for _ in range(ROUNDS)]


def seconds_a(made: Call) -> float:
    """Return the least time that a call takes: the least disturbed."""
    least, end = float("inf"), time.perf_counter() + SECONDS
    while (start := time.perf_counter()) < end:
        made()
        least = min(least, time.perf_counter() - start)
    return least


def function_calls(made: Call, times: int = 100) -> int:
    """Return how many functions a call calls, Python's and C's."""
    with cProfile.Profile() as profile:
        for _ in range(times):
            made()
    return int(pstats.Stats(profile).total_calls / times)  # type: ignore[attr-defined]


def through_gunicorn(url: str) -> Column:
    """Measure three servers of two workers each, one after the other in each round."""
    with ExitStack() as servers:
        own, flask, falcon = (
            servers.enter_context(serving(url, 2, application))
            for application in (
                "wsgi:app",
                "tools.bench:bare",
                "tools.falcon_rival:app",
            )
        )
        rounds = [
            [requests_a_second(server.url) for server in (own, flask, falcon)]
            for _ in range(ROUNDS)
        ]
        memory = max(worker.memory_info().rss for worker in own.workers())
        writes = [
            requests_a_second(own.url, PUT, 4) / updates_a_second(url)
            for _ in range(ROUNDS)
        ]
    return {
        "list of 7, through gunicorn, / a bare Flask view": [
            ours / theirs for ours, theirs, _ in rounds
        ],
        "list of 7, through gunicorn, / Falcon and SQLAlchemy Core": [
            ours / theirs for ours, _, theirs in rounds
        ],
        "list of 7, through gunicorn, a second": [ours for ours, _, _ in rounds],
        "PUT of a text, 4 clients, / a loop of UPDATE and COMMIT": writes,
        "memory of a worker": f"{memory / 2**20:.0f} MiB",
    }


def requests_a_second(url: str, script: str = "", connections: int = 8) -> float:
    header = f"Authorization: {CREDENTIALS['Authorization']}"
    with TemporaryDirectory() as folder:
        file = Path(folder) / "script.lua"
        file.write_text(script)
        options = ["-t1", f"-c{connections}", f"-d{WRK_SECONDS}s", "-H", header]
        command = ["wrk", *options, "-s", str(file), url + LIST]
        done = subprocess.run(command, capture_output=True, check=True, text=True)
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    assert found, done.stdout
    assert "Non-2xx" not in done.stdout, done.stdout
    return float(found[1])


def updates_a_second(url: str) -> float:
    """Return how often one process can change a text, as durably as the service."""
    with closing(connect(url)) as connection:
        number, end = 0, time.perf_counter() + WRK_SECONDS
        while time.perf_counter() < end:
            number += 1
            connection.execute(UPDATE.format(number))
            connection.commit()
    return number / WRK_SECONDS


def connect(url: str) -> Any:
    if url.startswith("postgresql"):
        return psycopg.connect(url)
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    for pragma in SQLITE_PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    return connection


@contextmanager
def full_service(url: str) -> Iterator[Flask]:
    """Make a service with every letter, 50 languages, 10,000 stores and their texts."""
    with service(url, ORDER_STATUSES_LANGUAGES=",".join(LANGUAGES)) as app:
        with app.app_context():
            fill_up()
        yield app


def fill_up() -> None:
    taken = set(db.session.scalars(select(Status.status).filter_by(type="O")))
    free = [{"status": letter} for letter in STATUS_LETTERS if letter not in taken]
    params = {"color": "#97cf4d", "notify": "Y"}
    db.session.execute(insert(Status).values(type="O", params=params), free)
    stores = [{"store_id": n} for n in STORES]
    db.session.execute(insert(Store).values(name="Store"), stores)
    status_ids = list(db.session.scalars(select(Status.status_id).filter_by(type="O")))
    there = set(db.session.execute(select(StatusText.status_id, StatusText.lang_code)))
    texts = {"description": "Packed", "email_subj": "is", "email_header": "It is."}
    rows = [
        {"status_id": status_id, "lang_code": lang_code}
        for status_id in status_ids
        for lang_code in LANGUAGES
        if (status_id, lang_code) not in there
    ]
    db.session.execute(insert(StatusText).values(**texts), rows)
    rows = [{"status_id": s, "store_id": n} for s in status_ids[:5] for n in STORES]
    own = insert(StoreText).values(lang_code="en", email_subj="from us")
    db.session.execute(own, rows)
    db.session.commit()


def measure(databases: Databases) -> Column:
    url = databases.create()
    fill(url)
    with service(url) as app, full_service(databases.create(url)) as full:
        column = in_process(app, full)
        calls = function_calls(call(app))
    column["function calls of a cached list"] = str(calls)
    return column | through_gunicorn(url)


def start_seconds() -> str:
    """Return how long Python takes to import the service, beyond its libraries."""
    least = [
        min(seconds_of(statement) for _ in range(ROUNDS))
        for statement in ("import wsgi", "import flask, flask_sqlalchemy")
    ]
    return f"{least[0] - least[1]:.2f} s"


def seconds_of(statement: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], cwd=ROOT, check=True)
    return time.perf_counter() - start


def cells(measured: list[float] | str) -> list[str]:
    if isinstance(measured, str):
        return [measured, ""]
    digits = 0 if median(measured) > 100 else 2
    middle, least, most = (
        f"{number:,.{digits}f}"
        for number in (median(measured), min(measured), max(measured))
    )
    return [middle, f"{least} to {most}"]


def main() -> None:
    with TemporaryDirectory() as folder, faults.postgres_to_kill() as postgres:
        columns = {
            "SQLite": measure(SqliteDatabases(Path(folder))),
            "PostgreSQL": measure(PostgresDatabases(postgres.url)),
        }
    rows = [["", *(cell for kind in columns for cell in (kind, "rounds"))]]
    rows.append(["---"] * len(rows[0]))
    first, *others = columns.values()
    for name in first:
        found = [cells(column[name]) for column in (first, *others)]
        rows.append([name, *(cell for pair in found for cell in pair)])
    rows.append(["start, beyond Flask and Flask-SQLAlchemy", start_seconds()])
    for row in rows:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
