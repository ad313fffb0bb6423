"""The session of a shop: what a read and a write of the API do to the shop's work."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import flask_sqlalchemy_lite
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Column, MetaData, String, Table, insert, select, text

from order_statuses import config
from order_statuses.models import RENEW, ChangeTag

from .conftest import on_postgresql
from .small_shop import OWNER, STATUSES, Order, commit, count_orders, db, mount


def leave_order_pending() -> None:
    """Change something without a commit, as a shop's before_request may."""
    db.session.add(Order(status="P"))


def test_pending_work_of_the_shop_is_committed_with_a_write(
    shop: Flask, visitor: FlaskClient
) -> None:
    shop.before_request(leave_order_pending)
    visitor.put(f"{STATUSES}/2", json={"description": "Done"})

    assert count_orders(shop) == 1


def test_pending_work_of_the_shop_ends_with_a_refused_write(
    shop: Flask, visitor: FlaskClient
) -> None:
    shop.before_request(leave_order_pending)
    shop.after_request(commit)
    visitor.put(f"{STATUSES}/2", json={"description": "", "params": {"color": "x"}})

    assert count_orders(shop) == 0


def test_reading_neither_commits_nor_rolls_back(
    shop: Flask, visitor: FlaskClient
) -> None:
    shop.before_request(leave_order_pending)
    shop.after_request(commit)
    visitor.get(f"{STATUSES}/2")
    visitor.get(f"{STATUSES}/999")

    assert count_orders(shop) == 2


@on_postgresql
def test_write_does_not_start_again_at_the_cost_of_another_database(
    database: str, tmp_path: Path
) -> None:
    shop = Flask("shop")
    shop.config["SQLALCHEMY_ENGINES"] = {
        "default": {
            "url": config.database_url(database),
            "isolation_level": "REPEATABLE READ",
        },
        "log": f"sqlite:///{tmp_path / 'log.db'}",
    }
    shop.config["ORDER_STATUSES_IDENTIFY"] = lambda: OWNER
    lite = flask_sqlalchemy_lite.SQLAlchemy()
    lite.init_app(shop)
    mount(shop)
    log = Table("log", MetaData(), Column("name", String))

    @shop.before_request
    def note() -> None:
        lite.session.execute(
            insert(log).values(name="x"), bind_arguments={"bind": lite.engines["log"]}
        )
        lite.session.scalar(select(ChangeTag.tag))
        with lite.engine.begin() as another_writer:
            another_writer.execute(RENEW)

    with shop.app_context():
        log.create(lite.engines["log"])
        written = shop.test_client().put(f"{STATUSES}/2", json={"description": "x"})
        for engine in lite.engines.values():
            engine.dispose()

    assert written.status_code == 503


@on_postgresql
def test_write_that_a_migration_of_the_shop_stops_starts_again(
    shop: Flask, visitor: FlaskClient
) -> None:
    @shop.before_request
    def read_order() -> None:
        db.session.execute(text("SET LOCAL deadlock_timeout = '50ms'"))
        db.session.scalar(select(Order.order_id))

    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    with ThreadPoolExecutor() as threads, shop.app_context():
        with db.engine.begin() as migration:
            migration.execute(RENEW)
            change = {"description": "x"}
            written = threads.submit(visitor.put, f"{STATUSES}/2", json=change)
            while not migration.scalar(waiting):
                time.sleep(0.01)
            # The writer, which waits for this migration, has read this table.
            migration.execute(text("SET LOCAL deadlock_timeout = '1min'"))
            migration.execute(text('LOCK TABLE "order"'))

        assert written.result(30).status_code == 200
