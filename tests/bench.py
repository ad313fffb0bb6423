"""Measures the service beside a bare Flask view that returns the same list.

``make bench`` runs it. In process, through the WSGI interface, by pytest-benchmark;
through gunicorn, by wrk where that is installed. Machines differ, and so do minutes on
one machine: what counts are the ratios within one run.
"""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from itertools import cycle
from typing import Any, cast

import pytest
from flask import Flask
from flask.typing import ResponseReturnValue
from pytest_benchmark.fixture import BenchmarkFixture
from sqlalchemy import insert, select
from werkzeug.test import EnvironBuilder

from order_statuses.caching import Cache
from order_statuses.models import Status, StatusText, Store, StoreText, db
from order_statuses.writing import LETTERS

from .conftest import (
    ADMINISTRATOR,
    KEY,
    Databases,
    basic,
    service,
)
from .servers import ROOT, serving

BARE = "a bare Flask view"
LIST = "/api/2.0/statuses"
CREDENTIALS = {"Authorization": basic(ADMINISTRATOR, KEY + ADMINISTRATOR)}
LANGUAGES = [
    "en",
    "ru",
    *(f"x{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(48)),
]
STORES = range(3, 10_001)  # beside the two that are there
STATUSES = json.loads((ROOT / "stock.json").read_text(encoding="utf-8"))["statuses"][:7]
bare = Flask("bare")


@bare.get(LIST)
def statuses() -> ResponseReturnValue:
    """Return a list as any Flask view does, without a database or a caller."""
    texts = STATUSES[0]["texts"]["en"]
    return [{k: v for k, v in s.items() if k != "texts"} | texts for s in STATUSES]


@pytest.fixture(scope="session", params=["7 statuses", "34 statuses"])
def app(
    request: pytest.FixtureRequest, databases: Databases, template: str
) -> Iterator[Flask]:
    """The service: 1 store and 2 languages, or 10,000 stores and 50 languages."""
    url = databases.create(template)
    if request.param == "7 statuses":
        with service(url) as app:
            yield app
        return
    with service(url, ORDER_STATUSES_LANGUAGES=",".join(LANGUAGES)) as app:
        with app.app_context():
            fill()
        yield app


def fill() -> None:
    """Fill the database up: every letter, language and store, all with texts."""
    taken = set(db.session.scalars(select(Status.status).filter_by(type="O")))
    free = [{"status": letter} for letter in LETTERS if letter not in taken]
    params = {"color": "#97cf4d", "notify": "Y"}
    db.session.execute(insert(Status).values(type="O", params=params), free)
    db.session.execute(
        insert(Store).values(name="Store"), [{"store_id": n} for n in STORES]
    )
    status_ids = list(db.session.scalars(select(Status.status_id).filter_by(type="O")))
    there = set(db.session.execute(select(StatusText.status_id, StatusText.lang_code)))
    texts = {
        "description": "Packed",
        "email_subj": "is packed",
        "email_header": "It is.",
    }
    keys = [
        (s, lang) for s in status_ids for lang in LANGUAGES if (s, lang) not in there
    ]
    rows = [{"status_id": s, "lang_code": lang} for s, lang in keys]
    db.session.execute(insert(StatusText).values(**texts), rows)
    rows = [{"status_id": s, "store_id": n} for s in status_ids[:5] for n in STORES]
    own = insert(StoreText).values(lang_code="en", email_subj="from us")
    db.session.execute(own, rows)
    db.session.commit()


class Call:
    """One request, made again and again through the WSGI interface."""

    def __init__(
        self, app: Flask, path: str, body: bytes = b"", **options: Any
    ) -> None:
        self.app = app
        options = {"path": path, "data": body, "headers": CREDENTIALS, **options}
        self.environ = EnvironBuilder(**options).get_environ()
        self.body = body

    def __call__(self) -> tuple[str, dict[str, str]]:
        """Return the response's status line and headers."""
        started = []

        def respond(status: str, headers: list[tuple[str, str]], _: Any = None) -> Any:
            started.append((status, dict(headers)))

        environ = {**self.environ, "wsgi.input": BytesIO(self.body)}
        response = self.app(environ, respond)
        b"".join(response)
        response.close()  # type: ignore[attr-defined]
        return started[0]


class Report:
    """The table that is written in the end: rows by what, columns by where."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, str]] = {}
        self.bare = 0.0

    def add(self, what: str, where: str, value: str) -> None:
        self.rows.setdefault(what, {})[where] = value

    def add_time(self, what: str, where: str, seconds: float) -> None:
        ratio = f", {seconds / self.bare:.1f} x" if self.bare else ""
        self.add(what, where, f"{seconds * 1e6:,.0f} us{ratio}")

    def write(self) -> None:
        columns = list(dict.fromkeys(c for row in self.rows.values() for c in row))
        lines = [["", *columns], ["---"] * (len(columns) + 1)]
        for what, row in self.rows.items():
            lines.append([what, *(row.get(column, "") for column in columns)])
        table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
        (ROOT / "build").mkdir(exist_ok=True)
        (ROOT / "build" / "bench.md").write_text(table, encoding="utf-8")


@pytest.fixture(scope="session")
def report() -> Iterator[Report]:
    report = Report()
    yield report
    report.write()


@pytest.fixture(scope="session")
def where(databases: Databases) -> str:
    return databases.kind


@pytest.fixture
def column(where: str, app: Flask) -> str:
    """The database, and how full it is."""
    many = len(app.config["ORDER_STATUSES_LANGUAGES"]) > 2
    return f"{where}, {'34 statuses' if many else '7 statuses'}"


def measure(
    benchmark: BenchmarkFixture, report: Report, what: str, where: str, call: Any
) -> None:
    benchmark(call)
    seconds = cast(Any, benchmark.stats).stats.min  # the least disturbed
    if what == BARE:
        report.bare = seconds
    report.add_time(what, where, seconds)


def test_bare(benchmark: BenchmarkFixture, report: Report) -> None:
    measure(benchmark, report, BARE, "-", Call(bare, LIST))


def test_round_trip(
    benchmark: BenchmarkFixture, report: Report, app: Flask, column: str
) -> None:
    with app.app_context():
        connection = db.engine.raw_connection()
    cursor = connection.cursor()

    def select_1() -> None:
        cursor.execute("SELECT 1")
        cursor.fetchall()

    measure(benchmark, report, "SELECT 1, by the driver alone", column, select_1)
    connection.close()


def test_list(
    benchmark: BenchmarkFixture, report: Report, app: Flask, column: str
) -> None:
    measure(benchmark, report, "list", column, Call(app, LIST))


def test_one(
    benchmark: BenchmarkFixture, report: Report, app: Flask, column: str
) -> None:
    measure(benchmark, report, "one status", column, Call(app, f"{LIST}/2"))


def test_304(
    benchmark: BenchmarkFixture, report: Report, app: Flask, column: str
) -> None:
    _, headers = Call(app, LIST)()
    seen = {**CREDENTIALS, "If-None-Match": headers["ETag"]}
    call = Call(app, LIST, headers=seen)
    assert call()[0] == "304 NOT MODIFIED"
    measure(benchmark, report, "304", column, call)


def test_cold(
    benchmark: BenchmarkFixture, report: Report, app: Flask, column: str
) -> None:
    call = Call(app, LIST)

    def forgetful() -> None:
        app.extensions["order_statuses_cache"] = Cache()
        call()

    measure(benchmark, report, "list, cache emptied", column, forgetful)


def test_put(
    benchmark: BenchmarkFixture, report: Report, app: Flask, column: str
) -> None:
    bodies = [b"description=One", b"description=Another"]
    calls = cycle([Call(app, f"{LIST}/2", body, method="PUT") for body in bodies])
    assert next(calls)()[0] == "200 OK"
    measure(benchmark, report, "PUT of a text", column, lambda: next(calls)())


def requests_a_second(url: str) -> float:
    header = f"Authorization: {CREDENTIALS['Authorization']}"
    command = ["wrk", "-t1", "-c8", "-d5s", "-H", header, url + LIST]
    printed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert "Non-2xx" not in printed
    found = re.search(r"Requests/sec:\s+([\d.]+)", printed)
    assert found
    return float(found[1])


@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not installed")
def test_gunicorn(
    report: Report, databases: Databases, template: str, where: str
) -> None:
    url = databases.create(template)
    with serving(url, 2, "tests.bench:bare") as server:
        theirs = requests_a_second(server.url)
    with serving(url, 2) as server:
        ours = requests_a_second(server.url)
        worker = min(w.memory_info().rss for w in server.workers())
    what = "list through gunicorn, 2 workers, requests a second"
    report.add(what, where, f"{ours:,.0f}, {ours / theirs:.2f} of bare Flask's")
    report.add("memory of a worker", where, f"{worker / 2**20:.0f} MiB")


def seconds_of(statements: str) -> float:
    """Return the least time that Python takes to run *statements*, of five."""
    command = [sys.executable, "-c", statements]
    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True)
        times.append(time.perf_counter() - start)
    return min(times)


def test_start(report: Report) -> None:
    libraries = seconds_of("import flask, flask_sqlalchemy")
    ours = seconds_of("import wsgi")
    report.add(
        "start, beyond Flask and Flask-SQLAlchemy", "-", f"{ours - libraries:.2f} s"
    )
