"""Shops that mount the blueprint beside pages, tables and logins of their own."""

import sys
from collections.abc import Iterator

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import inspect

from order_statuses import config
from order_statuses.api import create_blueprint
from order_statuses.auth import Caller
from order_statuses.tests.test_commands import run


def make_shop(url: str) -> Flask:
    """Return a shop whose every visitor is an administrator of all storefronts."""
    shop = Flask("shop")
    shop.config["SQLALCHEMY_DATABASE_URI"] = config.database_url(url)
    shop.config["ORDER_STATUSES_IDENTIFY"] = lambda: Caller("a shop's own")
    SQLAlchemy(shop)
    shop.register_blueprint(create_blueprint(), url_prefix="/api/2.0")
    return shop


@pytest.fixture
def empty_shop(empty_database: str) -> Iterator[Flask]:
    """A shop that has no tables yet."""
    shop = make_shop(empty_database)
    yield shop
    dispose(shop)


def dispose(shop: Flask) -> None:
    with shop.app_context():
        shop.extensions["sqlalchemy"].engine.dispose()


def count_statuses(shop: Flask) -> int:
    statuses: list[object] = shop.test_client().get("/api/2.0/statuses").get_json()
    return len(statuses)


def test_stock_is_loaded_without_migrations(empty_shop: Flask) -> None:
    loaded = run(empty_shop, "load-stock", "--create-tables")

    assert loaded.exit_code == 0, loaded.output
    assert count_statuses(empty_shop) == 7


def test_stock_is_loaded_once(empty_shop: Flask) -> None:
    run(empty_shop, "load-stock", "--create-tables")
    empty_shop.test_client().delete("/api/2.0/statuses/3")

    assert run(empty_shop, "load-stock", "--create-tables").exit_code == 0
    assert count_statuses(empty_shop) == 6


def test_stock_needs_tables(empty_shop: Flask) -> None:
    refused = run(empty_shop, "load-stock")

    assert refused.exit_code == 1
    assert "your migrations, then flask order-statuses load-stock" in refused.output
    with empty_shop.app_context():
        assert not inspect(empty_shop.extensions["sqlalchemy"].engine).get_table_names()


def test_stock_is_loaded_in_memory() -> None:
    shop = make_shop("sqlite://")

    assert run(shop, "load-stock", "--create-tables").exit_code == 0
    assert count_statuses(shop) == 7
    dispose(shop)


def test_created_status_follows_the_loaded_stock(empty_shop: Flask) -> None:
    run(empty_shop, "load-stock", "--create-tables")
    created = empty_shop.test_client().post(
        "/api/2.0/statuses", json={"description": "Packed"}
    )

    assert created.json == {"statuses_id": "12", "status_id": "12"}


def test_init_says_that_it_needs_alembic(
    empty_shop: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "alembic", None)
    refused = run(empty_shop, "init")

    assert refused.exit_code == 1
    assert "pip install 'order-statuses[server]'" in refused.output
