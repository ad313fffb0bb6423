"""Who is calling, by the login of a shop or as one of our API users."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from flask import Flask
from flask.testing import FlaskClient

from order_statuses import auth
from order_statuses.auth import Caller

from .conftest import ADMINISTRATOR, KEY, basic, settings_of
from .small_shop import STATUSES, shop_with_login

pytestmark = pytest.mark.one_database


def test_stranger_is_unknown_to_the_login_of_the_shop() -> None:
    refused = shop_with_login(lambda: None).test_client().get(STATUSES)

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
    refused = shop_with_login(lambda: found).test_client().get(STATUSES)

    assert (refused.status_code, refused.get_json()["status"]) == (500, 500)
