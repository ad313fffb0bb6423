"""Stricter isolation than ours, in a shop of four processes of its own."""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from sqlalchemy import create_engine, text

from order_statuses.config import database_url

from .conftest import Databases
from .servers import ROOT, running

STRICT = [
    ("sqlite", "SQLAlchemy's recipe for pysqlite"),
    ("postgresql", "REPEATABLE READ"),
    ("postgresql", "SERIALIZABLE"),
]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize(
        ("databases", "level"), STRICT, indirect=["databases"], scope="module"
    ),
]

# It reads a table of its own before each request, and may note the visit there.
SHOP = """
import os

from flask import Flask, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import event, func, insert, select

from order_statuses import Caller, create_blueprint

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["SHOP_DATABASE"]
embedded = os.environ["SHOP_DATABASE"].startswith("sqlite")
if not embedded:
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {
        "isolation_level": os.environ["SHOP_ISOLATION"]
    }
db = SQLAlchemy(app)


class Visit(db.Model):
    name = db.Column(db.String, primary_key=True)


@app.before_request
def note_visit():
    db.session.scalar(select(func.count(Visit.name)))
    name, how = request.headers.get("X-Visit"), request.headers.get("X-How")
    if how == "in bulk":
        db.session.execute(insert(Visit).values(name=name))
    elif how:
        db.session.add(Visit(name=name))
    if how == "flushed":
        db.session.flush()


app.config["ORDER_STATUSES_IDENTIFY"] = lambda: Caller("anyone")
app.register_blueprint(create_blueprint(), url_prefix="/api")

if embedded:
    with app.app_context():

        @event.listens_for(db.engine, "connect")
        def leave_transactions_to_sqlalchemy(connection, _):
            connection.isolation_level = None

        @event.listens_for(db.engine, "begin")
        def begin(connection):
            connection.exec_driver_sql("BEGIN")
"""


class Shop(NamedTuple):
    """A running shop: the URL of its API, and of its database."""

    url: str
    database: str


@pytest.fixture(scope="module")
def shop(
    tmp_path_factory: pytest.TempPathFactory,
    databases: Databases,
    template: str,
    level: str,
) -> Iterator[Shop]:
    folder: Path = tmp_path_factory.mktemp("shop")
    (folder / "app.py").write_text(SHOP)
    database = databases.create(template)
    execute(database, "CREATE TABLE visit (name VARCHAR PRIMARY KEY)")
    environment = os.environ | {
        "SHOP_DATABASE": database_url(database).render_as_string(False),
        "SHOP_ISOLATION": level,
        "PYTHONPATH": str(ROOT),
    }
    options = ["--bind=127.0.0.1:0", "--workers=4"]
    command = [sys.executable, "-m", "gunicorn", *options, "app:app"]
    with running(command, folder, environment) as server:
        yield Shop(f"{server.url}/api", database)
    databases.drop(database)


def execute(url: str, statement: str) -> list[Any]:
    engine = create_engine(database_url(url))
    with engine.begin() as connection:
        found = connection.execute(text(statement))
        rows = list(found.scalars()) if found.returns_rows else []
    engine.dispose()
    return rows


def write_at_once(address: str, how: str = "") -> dict[str, int]:
    """Let four writers add 48 params; return what came of each."""

    def write(writer: int) -> dict[str, int]:
        outcomes = {}
        with httpx.Client(timeout=30) as client:
            for number in range(12):
                name = f"{how}.{writer}.{number}".replace(" ", "-")
                body = {"params": {name: "x"}}
                headers = {"X-Visit": name, "X-How": how}
                written = client.put(address, json=body, headers=headers)
                outcomes[name] = written.status_code
        return outcomes

    with ThreadPoolExecutor(4) as threads:
        return {k: v for seen in threads.map(write, range(4)) for k, v in seen.items()}


def test_writers_wait_for_each_other_and_none_is_lost(shop: Shop) -> None:
    address = f"{shop.url}/statuses/1"
    outcomes = write_at_once(address)

    assert len(outcomes) == 48
    assert set(outcomes.values()) == {200}
    assert outcomes.keys() <= httpx.get(address).json()["params"].keys()


@pytest.mark.parametrize(
    ("status_id", "how"), [(2, "added"), (3, "flushed"), (4, "in bulk")]
)
def test_work_of_the_shop_is_stored_or_the_response_is_503(
    shop: Shop, status_id: int, how: str
) -> None:
    outcomes = write_at_once(f"{shop.url}/statuses/{status_id}", how)
    visits = set(execute(shop.database, "SELECT name FROM visit"))

    assert set(outcomes.values()) <= {200, 503}
    assert visits & outcomes.keys() == {k for k, v in outcomes.items() if v == 200}
