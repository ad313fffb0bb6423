"""Errors below the prefix are JSON of ours, whatever handlers a shop has."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, got_request_exception
from flask.testing import FlaskClient
from flask.typing import ResponseReturnValue
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from order_statuses.auth import Caller, identify_user

from .conftest import ADMINISTRATOR, BOUND, KEY, basic, settings_of
from .small_shop import STATUSES, db, open_shop

HTML = "<h1>Sorry</h1>"


@pytest.mark.one_database
def test_shop_keeps_its_own_error_pages(shop: Flask, visitor: FlaskClient) -> None:
    shop.register_error_handler(404, lambda error: (HTML, 404))

    assert visitor.get("/nothing").text == HTML
    assert visitor.get("/api/2.0x").text == HTML
    assert visitor.get("/api/2.0/nothing").json == {
        "message": "Not Found: There is nothing at this address.",
        "status": 404,
    }


def fail_to_divide() -> Caller:
    raise ZeroDivisionError("a mistake of the shop")


def fail_in_sql() -> Caller:
    raise SQLAlchemyError("a mistake of the shop")


def need_table() -> None:
    db.session.execute(text("SELECT 1 FROM mistake"))


def need_table_beside_ours() -> None:
    db.session.execute(text("SELECT 1 FROM order_statuses_status, mistake"))


@pytest.mark.parametrize(
    "identify", [fail_to_divide, fail_in_sql, need_table, need_table_beside_ours]
)
def test_mistake_of_the_login_is_an_error_of_the_shop(
    shop: Flask,
    visitor: FlaskClient,
    caplog: pytest.LogCaptureFixture,
    identify: Callable[[], Any],
) -> None:
    reported = []
    for code_or_class in (500, Exception):
        shop.register_error_handler(code_or_class, lambda error: (HTML, 500))
    settings_of(shop)["ORDER_STATUSES_IDENTIFY"] = identify
    shop.add_url_rule("/page", view_func=lambda: str(fail_to_divide()))

    def report(_: Flask, exception: Exception, **__: Any) -> None:
        reported.append(exception)

    with got_request_exception.connected_to(report, shop):
        failed = visitor.get(STATUSES)

    assert (failed.status_code, failed.get_json()["status"]) == (500, 500)
    assert len(reported) == 1  # to Sentry, for example
    assert "mistake" in caplog.text
    assert "not set up" not in caplog.text
    assert visitor.get("/page").text == HTML


# What the API itself raises goes to no handler of the shop.


@pytest.fixture
def handled() -> list[Exception]:
    """What the handlers of the shop have got."""
    return []


def handle_all(shop: Flask, handled: list[Exception]) -> None:
    """Let *shop* have handlers of all that the API itself may raise."""

    def handle(error: Exception) -> ResponseReturnValue:
        handled.append(error)
        return HTML, 418

    for code in (400, 401, 403, 404, 500, 503):
        shop.register_error_handler(code, handle)
    for kind in (HTTPException, SQLAlchemyError, LookupError, ValueError, TypeError):
        shop.register_error_handler(kind, handle)


def login_or_user() -> Caller:
    """Do what a shop does that has API users beside its own login."""
    return identify_user()


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("user", "key", "address", "status"),
    [
        (ADMINISTRATOR, "wrong", STATUSES, 401),
        (ADMINISTRATOR, KEY + ADMINISTRATOR, f"{STATUSES}/999", 404),
        (ADMINISTRATOR, KEY + ADMINISTRATOR, f"{STATUSES}?page=0", 400),
        (BOUND, KEY + BOUND, "/api/2.0/stores/2", 403),
    ],
)
def test_refusal_is_ours(
    shop: Flask,
    visitor: FlaskClient,
    handled: list[Exception],
    user: str,
    key: str,
    address: str,
    status: int,
) -> None:
    settings_of(shop)["ORDER_STATUSES_IDENTIFY"] = login_or_user
    handle_all(shop, handled)
    refused = visitor.get(address, headers={"Authorization": basic(user, key)})

    assert (refused.status_code, refused.get_json()["status"]) == (status, status)
    assert ("WWW-Authenticate" in refused.headers) == (status == 401)
    assert handled == []


@pytest.mark.parametrize(("found", "status"), [(None, 401), ("a name", 500)])
def test_what_the_login_returns_is_ours_to_judge(
    found: str | None, status: int, handled: list[Exception]
) -> None:
    with open_shop(ORDER_STATUSES_IDENTIFY=lambda: found) as shop:
        handle_all(shop, handled)
        refused = shop.test_client().get(STATUSES)

    assert (refused.status_code, refused.get_json()["status"]) == (status, status)
    assert handled == []


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",  # without tables
        "postgresql://shop@127.0.0.1:1/shop",  # which has stopped
    ],
)
def test_database_that_is_away_is_our_503(url: str, handled: list[Exception]) -> None:
    with open_shop(url, ORDER_STATUSES_IDENTIFY=login_or_user) as shop:
        handle_all(shop, handled)
        failed = shop.test_client().get(STATUSES)

    assert (failed.status_code, failed.get_json()["status"]) == (503, 503)
    assert handled == []


@pytest.mark.one_database
@pytest.mark.parametrize("kind", [ValueError, LookupError])
def test_failure_of_ours_is_no_business_of_the_shops_handlers(
    database: str, handled: list[Exception], kind: type[Exception]
) -> None:
    def fail(text: str) -> Any:
        raise kind

    # The API's reading of its rows fails, and so its views.
    options = {"json_deserializer": fail}
    with open_shop(database, SQLALCHEMY_ENGINE_OPTIONS=options) as shop:
        handle_all(shop, handled)
        failed = shop.test_client().get(STATUSES)

    assert (failed.status_code, failed.get_json()["status"]) == (500, 500)
    assert handled == []
