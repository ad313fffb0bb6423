"""What keeps a status from being deleted: orders of the shop, and its foreign keys."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, func, select
from werkzeug.exceptions import Conflict

from order_statuses.reading import OrderStatus

from .conftest import settings_of
from .small_shop import STATUSES, Label, Order, db


def set_veto(shop: Flask, count_orders: Callable[[OrderStatus], int]) -> None:
    settings_of(shop)["ORDER_STATUSES_COUNT_ORDERS"] = count_orders


def count_orders(status: OrderStatus) -> int:
    same = Order.status == status.status
    return db.session.scalar(select(func.count()).where(same)) or 0


def add_order(shop: Flask, status: str) -> None:
    with shop.app_context():
        db.session.add(Order(status=status))
        db.session.commit()


def test_status_in_use_is_not_deleted(shop: Flask, visitor: FlaskClient) -> None:
    set_veto(shop, count_orders)
    add_order(shop, "B")
    refused = visitor.delete(f"{STATUSES}/3")

    assert (refused.status_code, refused.json) == (
        400,
        {
            "message": "Bad Request: Orders use this status: 1. "
            "Give them another first.",
            "status": 400,
        },
    )
    assert visitor.get(f"{STATUSES}/3").status_code == 200


def test_status_that_no_order_uses_is_deleted(
    shop: Flask, visitor: FlaskClient
) -> None:
    set_veto(shop, count_orders)
    add_order(shop, "P")

    assert visitor.delete(f"{STATUSES}/3").status_code == 204
    assert visitor.get(f"{STATUSES}/3").status_code == 404


@pytest.mark.one_database
@pytest.mark.parametrize("error", [RuntimeError("away"), Conflict("no")])
def test_veto_that_fails_deletes_nothing(
    shop: Flask,
    visitor: FlaskClient,
    error: Exception,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(status: OrderStatus) -> int:
        raise error

    set_veto(shop, fail)
    refused = visitor.delete(f"{STATUSES}/3")

    assert (refused.status_code, refused.get_json()["status"]) == (503, 503)
    assert visitor.get(f"{STATUSES}/3").status_code == 200
    assert "ORDER_STATUSES_COUNT_ORDERS failed" in caplog.text


@pytest.mark.one_database
def test_default_status_needs_no_veto(shop: Flask, visitor: FlaskClient) -> None:
    set_veto(shop, lambda status: pytest.fail("the shop was asked"))

    assert visitor.delete(f"{STATUSES}/1").status_code == 400


def test_foreign_key_of_the_shop_is_a_veto(shop: Flask, visitor: FlaskClient) -> None:
    with shop.app_context():
        if db.engine.dialect.name == "sqlite":
            event.listen(db.engine, "connect", enforce_foreign_keys)
            db.engine.dispose()
        db.session.add(Label(status_id=3))
        db.session.commit()

    assert visitor.delete(f"{STATUSES}/3").status_code == 400
    assert visitor.get(f"{STATUSES}/3").status_code == 200


def enforce_foreign_keys(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA foreign_keys=ON")
