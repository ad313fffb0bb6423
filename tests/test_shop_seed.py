"""How the tables and the default statuses get into the database of a shop."""

import sys
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine, event, inspect, text
from sqlalchemy.exc import DBAPIError

from order_statuses import migrations
from order_statuses.models import Base

from .commands import run
from .conftest import on_sqlite
from .small_shop import STATUSES, Order, count_statuses, db, open_shop


def table_names(shop: Flask) -> list[str]:
    with shop.app_context():
        return inspect(db.engine).get_table_names()


def test_statuses_are_seeded_once(empty_shop: Flask) -> None:
    loaded = run(empty_shop, "seed", "--create-tables")
    listed = count_statuses(empty_shop)
    empty_shop.test_client().delete(f"{STATUSES}/3")
    kept = run(empty_shop, "seed", "--create-tables")

    assert (loaded.exit_code, loaded.stderr, listed) == (
        0,
        "The default statuses are loaded.\n",
        7,
    )
    assert (kept.exit_code, kept.stderr, count_statuses(empty_shop)) == (
        0,
        "The tables are not empty: nothing was changed.\n",
        6,
    )


def test_created_status_follows_the_seeded_ones(empty_shop: Flask) -> None:
    run(empty_shop, "seed", "--create-tables")
    created = empty_shop.test_client().post(STATUSES, json={"description": "Packed"})

    assert created.json == {"statuses_id": "12", "status_id": "12"}


def test_statuses_are_seeded_by_one_call(empty_shop: Flask) -> None:
    with empty_shop.app_context():
        with pytest.raises(DBAPIError):
            migrations.seed_statuses()
        migrations.seed_statuses(create_tables=True)
        migrations.seed_statuses()

    assert count_statuses(empty_shop) == 7


def test_call_refuses_to_commit_what_the_shop_has_begun(shop: Flask) -> None:
    with shop.app_context():
        db.session.add(Order(status="B"))
        with pytest.raises(RuntimeError, match="your own changes first"):
            migrations.seed_statuses()
        assert db.session.new


def test_seed_needs_tables(empty_shop: Flask) -> None:
    refused = run(empty_shop, "seed")

    assert refused.exit_code == 1
    assert "your migrations and then flask order-statuses seed" in refused.output
    assert table_names(empty_shop) == []


def test_seed_needs_every_table(empty_shop: Flask) -> None:
    run(empty_shop, "seed", "--create-tables")
    with empty_shop.app_context(), db.engine.begin() as connection:
        connection.execute(text("DROP TABLE order_statuses_key"))
    refused = run(empty_shop, "seed")

    assert refused.exit_code == 1
    assert "seed --create-tables" in refused.output
    assert run(empty_shop, "seed", "--create-tables").exit_code == 0


def test_tables_are_not_created_beside_those_of_alembic(empty_shop: Flask) -> None:
    with empty_shop.app_context(), db.engine.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num TEXT)"))
    refused = run(empty_shop, "seed", "--create-tables")
    left = table_names(empty_shop)
    forced = run(empty_shop, "seed", "--create-tables", "--force")

    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "create the tables by your own migrations" in refused.stderr
    assert left == ["alembic_version"]
    assert (forced.exit_code, count_statuses(empty_shop)) == (0, 7), forced.output


def test_init_leaves_the_tables_of_a_shop_alone(empty_shop: Flask) -> None:
    run(empty_shop, "seed", "--create-tables")
    refused = run(empty_shop, "init")

    assert (refused.exit_code, type(refused.exception)) == (1, SystemExit)
    assert "use seed" in refused.output
    assert "  init " not in run(empty_shop, "--help").output
    assert "order_statuses_alembic" not in table_names(empty_shop)


def test_log_says_that_the_tables_are_missing(
    empty_shop: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    assert empty_shop.test_client().get(STATUSES).status_code == 503
    assert "flask order-statuses seed" in caplog.text
    assert "flask order-statuses init" not in caplog.text


def test_commands_need_the_seed(empty_shop: Flask) -> None:
    with empty_shop.app_context():
        Base.metadata.create_all(db.engine)
    refused = run(empty_shop, "add-store", "2", "Outlet")

    assert refused.exit_code == 1
    assert "flask order-statuses seed" in refused.output


# SQLite, where not the driver but something else begins the transactions.


def begin_at_once(engine: Engine) -> None:
    """Have SQLAlchemy begin SQLite's transactions, as its documentation shows.

    Without this, the driver begins them late, and savepoints do not work.
    """
    event.listen(engine, "connect", lambda c, _: setattr(c, "isolation_level", None))
    event.listen(engine, "begin", lambda c: c.exec_driver_sql("BEGIN"))


@on_sqlite
def test_statuses_are_seeded_where_the_shop_begins_transactions(
    empty_shop: Flask,
) -> None:
    with empty_shop.app_context():
        begin_at_once(db.engine)
    loaded = run(empty_shop, "seed", "--create-tables")

    assert (loaded.exit_code, count_statuses(empty_shop)) == (0, 7), loaded.output


@on_sqlite
@pytest.mark.skipif(sys.version_info < (3, 12), reason="The driver has no such mode.")
def test_statuses_are_seeded_where_a_transaction_is_always_open(
    empty_database: str,
) -> None:
    options: Any = {"connect_args": {"autocommit": False}}
    with open_shop(empty_database, SQLALCHEMY_ENGINE_OPTIONS=options) as shop:
        loaded = run(shop, "seed", "--create-tables")

        assert (loaded.exit_code, count_statuses(shop)) == (0, 7), loaded.output


def test_statuses_are_seeded_in_memory() -> None:
    with open_shop("sqlite://") as shop:
        assert run(shop, "seed", "--create-tables").exit_code == 0
        assert count_statuses(shop) == 7
        shop.test_client().delete(f"{STATUSES}/3")
        assert count_statuses(shop) == 6
