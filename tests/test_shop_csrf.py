"""Flask-WTF's CSRFProtect, and the one call that exempts the API."""

from secrets import token_hex

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_wtf import CSRFProtect  # type: ignore[import-untyped]

from order_statuses.api import create_blueprint, exempt_from_csrf

from .small_shop import STATUSES, build_shop, mount

pytestmark = pytest.mark.one_database


def test_csrf_protection_is_lifted_by_one_call(
    shop: Flask, visitor: FlaskClient
) -> None:
    shop.secret_key = token_hex()
    csrf = CSRFProtect(shop)
    shop.add_url_rule("/order", view_func=lambda: "ordered", methods=["POST"])
    packed = {"description": "Packed"}
    guarded = visitor.post(STATUSES, json=packed)
    exempt_from_csrf(shop, csrf)

    assert (guarded.status_code, guarded.get_json()["status"]) == (400, 400)
    assert visitor.post(STATUSES, json=packed).status_code == 201
    assert visitor.post("/api/2.0/stores").status_code == 405
    assert visitor.put(f"{STATUSES}/2", data={"description": "x"}).status_code == 200
    foreign = {"Origin": "https://evil.example"}
    assert visitor.post(STATUSES, json=packed, headers=foreign).status_code == 403
    assert visitor.post("/order").status_code == 400


def test_csrf_exemption_comes_after_the_mounts() -> None:
    shop = build_shop()
    csrf = CSRFProtect()
    with pytest.raises(ValueError, match="after the API is mounted"):
        exempt_from_csrf(shop, csrf)

    mount(shop)
    exempt_from_csrf(shop, csrf)
    with pytest.raises(ValueError, match="before exempt_from_csrf"):
        shop.register_blueprint(create_blueprint("another"), url_prefix="/another")
