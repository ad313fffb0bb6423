"""Shops whose own logins raise errors: tokens, and the handlers that a shop has."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest
from flask import Blueprint, Flask, abort, redirect
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from order_statuses.api import create_blueprint
from order_statuses.auth import Caller, identify_user

from .conftest import ADMINISTRATOR, BOUND, KEY, basic
from .embedding import JWT, Wheel, call, fresh_app
from .servers import Server
from .test_embedding import serving_shop
from .test_mounting import STATUSES, build_shop, mount, on_sqlite, open_shop

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
    """Make a shop whose login raises *error*; it needs no tables."""
    shop = build_shop(ORDER_STATUSES_IDENTIFY=raising(error))
    mount(shop)
    return shop


def teapot(error: Exception) -> ResponseReturnValue:
    return {"error": type(error).__name__}, 418, {"X-Shop": "yes"}


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


@pytest.mark.parametrize("key", [403, HTTPException])
def test_error_page_of_the_shop_becomes_json(key: Any) -> None:
    shop = build_shop(ORDER_STATUSES_IDENTIFY=lambda: abort(403, "Pay your bill."))
    mount(shop)
    shop.register_error_handler(key, lambda error: (HTML, 403, {"X-Shop": "yes"}))
    refused = shop.test_client().get(STATUSES)

    assert (refused.status_code, refused.content_type) == (403, "application/json")
    assert refused.json == {"message": "Forbidden: Pay your bill.", "status": 403}
    assert refused.headers["X-Shop"] == "yes"


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
    shop = build_shop(ORDER_STATUSES_IDENTIFY=lambda: abort(redirect("/login")))
    mount(shop)
    shop.register_error_handler(HTTPException, teapot)
    led = shop.test_client().get(STATUSES)

    assert (led.status_code, led.location) == (302, "/login")


@pytest.mark.parametrize("key", [401, HTTPException])
def test_error_without_a_handler_of_its_own_stays_json(key: Any) -> None:
    shop = build_shop(ORDER_STATUSES_IDENTIFY=lambda: abort(403, "Pay your bill."))
    mount(shop)
    shop.register_error_handler(401, lambda error: (HTML, 401))
    shop.register_error_handler(Exception, lambda error: (HTML, 500))
    refused = shop.test_client().get(STATUSES)

    assert refused.json == {"message": "Forbidden: Pay your bill.", "status": 403}


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


# Errors of ours are handled by us.


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


@on_sqlite
def test_wrong_key_gets_our_401(database: str, handled: list[Exception]) -> None:
    with open_shop(database, ORDER_STATUSES_IDENTIFY=login_or_user) as shop:
        handle_all(shop, handled)
        headers = {"Authorization": basic(ADMINISTRATOR, "wrong")}
        refused = shop.test_client().get(STATUSES, headers=headers)

    assert (refused.status_code, refused.get_json()["status"]) == (401, 401)
    assert refused.headers["WWW-Authenticate"].startswith("Basic ")
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


@on_sqlite
def test_refusals_after_the_login_are_ours(
    database: str, handled: list[Exception]
) -> None:
    with open_shop(database, ORDER_STATUSES_IDENTIFY=login_or_user) as shop:
        handle_all(shop, handled)
        client = shop.test_client()
        for user, address, status in [
            (ADMINISTRATOR, f"{STATUSES}/999", 404),
            (ADMINISTRATOR, f"{STATUSES}?page=0", 400),
            (BOUND, "/api/2.0/stores/2", 403),
        ]:
            headers = {"Authorization": basic(user, KEY + user)}
            refused = client.get(address, headers=headers)
            assert (refused.status_code, refused.get_json()["status"]) == (
                status,
                status,
            )

    assert handled == []


@on_sqlite
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


@pytest.mark.parametrize("found", [None, "a name"])
def test_what_the_login_returns_is_ours_to_judge(
    found: str | None, handled: list[Exception]
) -> None:
    shop = build_shop(ORDER_STATUSES_IDENTIFY=lambda: found)
    mount(shop)
    handle_all(shop, handled)
    refused = shop.test_client().get(STATUSES)

    assert refused.get_json()["status"] == (500 if found else 401)
    assert handled == []


# A shop without pages, in a process of its own.

# What such a shop has before the mount: a login that gives tokens, and a page.
OF_THE_SHOP = """
from datetime import timedelta
from flask_jwt_extended import JWTManager, create_access_token, jwt_required

# In create_app, before the mount:
app.config["JWT_SECRET_KEY"] = "a secret of the tests, which is long enough"
JWTManager(app)

@app.get("/token/<int(signed=True):seconds>")
def token(seconds):
    lifetime = timedelta(seconds=seconds)
    return create_access_token("manager@shop.example", expires_delta=lifetime)

@app.get("/orders")
@jwt_required()
def orders():
    return []
"""


@contextmanager
def serving_api_shop(
    wheel: Wheel, folder: Path, *additions: str, mount: str = "create_blueprint()"
) -> Iterator[Server]:
    """Serve the fresh application with tokens, and other *additions* of the page."""
    code = fresh_app(OF_THE_SHOP, JWT, *additions)
    (folder / "app.py").write_text(code.replace("create_blueprint()", mount))
    python = str(wheel.python)
    seed = "flask order-statuses seed --create-tables"
    call([python, "-m", *seed.split()], folder)
    with serving_shop(python, folder, "app:create_app()") as server:
        yield server


@pytest.fixture(scope="module")
def api_shop(
    wheel: Wheel, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A shop without pages, whose login is by token."""
    with serving_api_shop(wheel, tmp_path_factory.mktemp("api_shop")) as server:
        yield server


def bearer(server: Server, seconds: int = 60) -> dict[str, str]:
    """Return the header with a token that lives some *seconds*."""
    token = httpx.get(f"{server.url}/token/{seconds}").text
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.slow
def test_bearer_of_a_token_does_everything(api_shop: Server) -> None:
    with httpx.Client(base_url=api_shop.url, headers=bearer(api_shop)) as manager:
        created = manager.post(STATUSES, json={"description": "Packed"})
        read = manager.get(created.headers["Location"])
        deleted = manager.delete(created.headers["Location"])

    assert (created.status_code, deleted.status_code) == (201, 204)
    assert read.json()["description"] == "Packed"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["expired", "forged", "broken", "none"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_bad_token_gets_what_the_routes_of_the_shop_give(
    api_shop: Server, kind: str, method: str
) -> None:
    good = bearer(api_shop)["Authorization"]
    headers = {
        "expired": bearer(api_shop, -60),
        "forged": {"Authorization": f"{good[:-8]}{'x' * 8}"},
        "broken": {"Authorization": "Bearer x"},
        "none": {},
    }[kind]
    own = httpx.get(f"{api_shop.url}/orders", headers=headers)
    ours = httpx.request(method, f"{api_shop.url}{STATUSES}/3", headers=headers)

    assert (ours.status_code, ours.json()) == (own.status_code, own.json())
    assert ours.status_code in {401, 422}
    assert "Traceback" not in api_shop.log.read_text()


@pytest.mark.slow
def test_options_without_a_token_gets_our_401(api_shop: Server) -> None:
    refused = httpx.options(f"{api_shop.url}{STATUSES}")

    assert (refused.status_code, refused.json()["status"]) == (401, 401)
