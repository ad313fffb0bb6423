"""Below the prefix of the API: its addresses, and a shop's own beside them."""

from typing import Any

import pytest
from flask import Blueprint, Flask, abort
from flask.testing import FlaskClient

from order_statuses.api import create_blueprint

from .conftest import settings_of
from .small_shop import STATUSES

pytestmark = pytest.mark.one_database


def test_mounts_have_their_own_list_form(shop: Flask, visitor: FlaskClient) -> None:
    envelopes = create_blueprint("envelopes", list_form="envelope")
    shop.register_blueprint(envelopes, url_prefix="/envelopes")

    assert len(visitor.get(STATUSES).get_json()) == 7
    assert len(visitor.get("/envelopes/statuses").get_json()["statuses"]) == 7


def test_blueprint_lives_below_another(shop: Flask, visitor: FlaskClient) -> None:
    pages = Blueprint("pages", __name__, url_prefix="/pages")
    pages.add_url_rule("/<path:page>", view_func=lambda page: f"<h1>{page}</h1>")
    pages.register_blueprint(create_blueprint("inner"), url_prefix="/api")
    shop.register_blueprint(pages)
    created = visitor.post("/pages/api/statuses", json={"description": "Packed"})

    assert created.headers["Location"] == "/pages/api/statuses/12"
    assert visitor.get("/pages/api/nothing").get_json()["status"] == 404
    assert visitor.get("/pages/about").text == "<h1>about</h1>"


def test_prefix_may_have_a_variable(shop: Flask, visitor: FlaskClient) -> None:
    tenants = create_blueprint("tenants")
    shop.register_blueprint(tenants, url_prefix="/<tenant>/api")
    refused = visitor.post("/acme/api/statuses?description=x")
    listed = visitor.get("/acme/api/statuses?items_per_page=3")
    in_store = visitor.get("/acme/api/stores/1/statuses/2")
    created = visitor.post("/acme/api/statuses", json={"description": "Packed"})
    address = created.headers["Location"]

    assert refused.status_code == 400
    assert len(listed.get_json()) == 3
    assert listed.headers["Link"].startswith("</acme/api/statuses?")
    assert in_store.get_json()["status_id"] == "2"
    assert address == "/acme/api/statuses/12"
    assert visitor.delete(address).status_code == 204
    assert visitor.get(address).status_code == 404


def test_fallback_calls_no_view_of_the_shop(shop: Flask, visitor: FlaskClient) -> None:
    """Which has guards of its own."""
    own = Blueprint("own", __name__, url_prefix="/api/2.0")
    called = []

    @own.before_request
    def guard() -> None:
        called.append("guard")

    @own.route("/secrets/<name>", methods=["GET", "POST"])
    def show(name: str) -> str:
        called.append("view")
        abort(404, f"There is no secret {name}.")

    shop.register_blueprint(own)
    refused = visitor.delete("/api/2.0/secrets/x")

    assert (refused.status_code, called) == (405, [])
    assert refused.headers["Allow"] == "GET, HEAD, POST, OPTIONS"
    assert refused.get_json()["message"] == (
        "Method Not Allowed: Use one of GET, HEAD, POST, OPTIONS."
    )
    assert "There is no secret" in visitor.get("/api/2.0/secrets/x").text
    assert called == ["guard", "view"]


def test_preflight_shows_no_address_and_no_method_of_the_shop(
    shop: Flask, visitor: FlaskClient
) -> None:
    settings_of(shop)["ORDER_STATUSES_IDENTIFY"] = lambda: None
    for address in ("/api/2.0/orders", "/api/2.0/statuses/sort"):
        options: dict[str, Any] = {"provide_automatic_options": False}
        shop.add_url_rule(address, address[-4:], str, methods=["POST"], **options)
    asked = {"Origin": "https://a", "Access-Control-Request-Method": "POST"}
    hidden = visitor.options("/api/2.0/orders", headers=asked)
    shared = visitor.options("/api/2.0/statuses/sort", headers=asked)

    assert (hidden.status_code, "Allow" in hidden.headers) == (401, False)
    assert shared.headers["Allow"] == "GET, HEAD, PUT, DELETE, OPTIONS"
