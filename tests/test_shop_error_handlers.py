"""The error handlers of a shop: which of them the errors of a request get to."""

from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from flask import Blueprint, Flask, abort, got_request_exception, redirect
from flask.testing import FlaskClient
from flask.typing import ResponseReturnValue
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from order_statuses.api import create_blueprint
from order_statuses.auth import Caller, identify_user

from .conftest import ADMINISTRATOR, BOUND, KEY, basic, settings_of
from .small_shop import STATUSES, build_shop, db, open_shop, shop_with_login

HTML = "<h1>Sorry</h1>"


class LoginError(Exception):
    """What the shop's login raises."""


class TokenExpired(LoginError):
    pass


def raising(error: Exception) -> Callable[[], Caller]:
    """Return a login that raises *error*."""

    def identify() -> Caller:
        raise error

    return identify


def shop_raising(error: Exception) -> Flask:
    return shop_with_login(raising(error))


def teapot(error: Exception) -> ResponseReturnValue:
    return {"error": type(error).__name__}, 418, {"X-Shop": "yes"}


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


# What the login raises goes to the shop's handler of just that, if it has one.


@pytest.mark.parametrize("kind", [TokenExpired, LoginError])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("address", ["/statuses/2", "/nothing"])
def test_error_of_the_login_goes_to_the_handler_of_the_shop(
    kind: type[Exception], method: str, address: str
) -> None:
    shop = shop_raising(TokenExpired())
    shop.register_error_handler(kind, teapot)
    handled = shop.test_client().open(f"/api/2.0{address}", method=method)

    assert (handled.status_code, handled.json) == (418, {"error": "TokenExpired"})
    assert handled.headers["X-Shop"] == "yes"


def test_handler_of_the_class_itself_goes_first() -> None:
    shop = shop_raising(TokenExpired())
    shop.register_error_handler(LoginError, lambda error: ({}, 400))
    shop.register_error_handler(TokenExpired, teapot)

    assert shop.test_client().get(STATUSES).status_code == 418


def test_handler_of_a_blueprint_around_ours_goes_first() -> None:
    shop = build_shop(ORDER_STATUSES_IDENTIFY=raising(TokenExpired()))
    shop.register_error_handler(TokenExpired, lambda error: ({}, 400))
    around, beside = Blueprint("around", __name__), Blueprint("beside", __name__)
    around.register_error_handler(LoginError, teapot)
    beside.register_error_handler(TokenExpired, lambda error: ({}, 410))
    around.register_blueprint(create_blueprint(), url_prefix="/api/2.0")
    shop.register_blueprint(around)
    shop.register_blueprint(beside)

    for address in (STATUSES, "/api/2.0/nothing"):
        assert shop.test_client().get(address).status_code == 418


def test_handler_of_the_shop_may_raise() -> None:
    def give_up(error: Exception) -> NoReturn:
        abort(429, "Wait a minute.")

    shop = shop_raising(TokenExpired())
    shop.register_error_handler(TokenExpired, give_up)
    refused = shop.test_client().get(STATUSES)

    assert refused.json == {
        "message": "Too Many Requests: Wait a minute.",
        "status": 429,
    }


def forbid() -> NoReturn:
    abort(403, "Pay your bill.")


FORBIDDEN = {"message": "Forbidden: Pay your bill.", "status": 403}


@pytest.mark.parametrize("key", [403, HTTPException])
def test_error_page_of_the_shop_becomes_json(key: Any) -> None:
    shop = shop_with_login(forbid)
    shop.register_error_handler(key, lambda error: (HTML, 403, {"X-Shop": "yes"}))
    refused = shop.test_client().get(STATUSES)

    assert (refused.status_code, refused.content_type) == (403, "application/json")
    assert refused.json == FORBIDDEN
    assert refused.headers["X-Shop"] == "yes"


def test_error_without_a_handler_of_its_own_stays_json() -> None:
    shop = shop_with_login(forbid)
    shop.register_error_handler(401, lambda error: (HTML, 401))
    shop.register_error_handler(Exception, lambda error: (HTML, 500))
    refused = shop.test_client().get(STATUSES)

    assert refused.json == FORBIDDEN


def test_redirect_of_the_shop_stays_one_and_tells_nothing_of_the_error() -> None:
    shop = shop_raising(LoginError("a secret"))
    login = {"Location": "/login"}
    shop.register_error_handler(LoginError, lambda error: (HTML, 302, login))
    led = shop.test_client().get(STATUSES)

    assert (led.status_code, led.location) == (302, "/login")
    assert led.json == {
        "message": "Found: The shop's login refused this request.",
        "status": 302,
    }


def test_redirect_that_the_login_raises_goes_to_no_handler() -> None:
    shop = shop_with_login(lambda: abort(redirect("/login")))
    shop.register_error_handler(HTTPException, teapot)
    led = shop.test_client().get(STATUSES)

    assert (led.status_code, led.location) == (302, "/login")


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
