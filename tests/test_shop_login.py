"""Who is calling, by the login of a shop, and what the shop does with its errors."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from flask import Blueprint, Flask, abort, redirect
from flask.testing import FlaskClient
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from order_statuses import auth
from order_statuses.api import create_blueprint
from order_statuses.auth import Caller

from .conftest import ADMINISTRATOR, KEY, basic, settings_of
from .small_shop import STATUSES, build_shop, mount

pytestmark = pytest.mark.one_database

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


def shop_with(login: Callable[[], Any]) -> Flask:
    """Make a shop with this *login*; it needs no tables."""
    shop = build_shop(ORDER_STATUSES_IDENTIFY=login)
    mount(shop)
    return shop


def shop_raising(error: Exception) -> Flask:
    return shop_with(raising(error))


def teapot(error: Exception) -> ResponseReturnValue:
    return {"error": type(error).__name__}, 418, {"X-Shop": "yes"}


# What the login returns.


def test_stranger_is_unknown_to_the_login_of_the_shop() -> None:
    refused = shop_with(lambda: None).test_client().get(STATUSES)

    assert refused.json == {
        "message": "Unauthorized: The shop's login does not know who is calling.",
        "status": 401,
    }
    # For Basic, browsers would open a dialog of their own.
    assert "WWW-Authenticate" not in refused.headers


@pytest.mark.parametrize("login", [auth.identify_user, None])
def test_shop_may_have_our_api_users(
    shop: Flask, visitor: FlaskClient, login: Callable[[], Caller] | None
) -> None:
    settings_of(shop)["ORDER_STATUSES_IDENTIFY"] = login
    known = {"Authorization": basic(ADMINISTRATOR, KEY + ADMINISTRATOR)}
    refused = visitor.get(STATUSES)

    assert visitor.get(STATUSES, headers=known).status_code == 200
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.parametrize("found", ["a name", SimpleNamespace(name="x", store_id=None)])
def test_login_that_returns_no_caller_admits_nobody(found: object) -> None:
    refused = shop_with(lambda: found).test_client().get(STATUSES)

    assert (refused.status_code, refused.get_json()["status"]) == (500, 500)


# What it raises, if the shop has a handler for that.


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
    shop = shop_with(forbid)
    shop.register_error_handler(key, lambda error: (HTML, 403, {"X-Shop": "yes"}))
    refused = shop.test_client().get(STATUSES)

    assert (refused.status_code, refused.content_type) == (403, "application/json")
    assert refused.json == FORBIDDEN
    assert refused.headers["X-Shop"] == "yes"


def test_error_without_a_handler_of_its_own_stays_json() -> None:
    shop = shop_with(forbid)
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
    shop = shop_with(lambda: abort(redirect("/login")))
    shop.register_error_handler(HTTPException, teapot)
    led = shop.test_client().get(STATUSES)

    assert (led.status_code, led.location) == (302, "/login")
