"""What belongs to one caller, or to the shop, in a shop of a process of its own."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from .servers import ROOT, running

pytestmark = pytest.mark.slow

# Its visitors say who they are; it marks each response, and guards its own export.
SHOP = """
import os

from flask import Blueprint, Flask, abort, after_this_request, g, request
from flask_sqlalchemy import SQLAlchemy

from order_statuses import Caller, create_blueprint, status_updated

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["SHOP_DATABASE"]
db = SQLAlchemy(app)
exported = []


def identify():
    name = request.headers["X-User"]

    @after_this_request
    def set_cookie(response):
        response.set_cookie("session", f"of-{name}")
        return response

    return Caller(name)


app.config["ORDER_STATUSES_IDENTIFY"] = identify
api = create_blueprint()


@api.after_request
def greet(response):
    response.headers["X-Greeting"] = f"Hello {request.headers['X-User']}"
    return response


app.register_blueprint(api, url_prefix="/api")
tenants = create_blueprint("tenants")
app.register_blueprint(tenants, url_prefix="/<tenant>/api")

own = Blueprint("own", __name__, url_prefix="/api")


@own.before_request
def guard():
    if request.headers["X-User"] != "owner":
        abort(403)


@own.get("/export")
def export():
    exported.append(request.method)
    return str(len(exported))


@own.get("/secret/<name>")
def secret(name):
    abort(404, f"There is no secret {name}.")


app.register_blueprint(own)
"""


@pytest.fixture(scope="module")
def shop(
    tmp_path_factory: pytest.TempPathFactory, databases: object, template: str
) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("shop")
    (folder / "app.py").write_text(SHOP)
    url = template.replace("postgresql://", "postgresql+psycopg://")
    environment = os.environ | {"SHOP_DATABASE": url, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "gunicorn", "--bind=127.0.0.1:0", "app:app"]
    with running(command, folder, environment) as server:
        yield server.url


def ask(shop: str, method: str, path: str, user: str, **headers: str) -> httpx.Response:
    return httpx.request(method, shop + path, headers={"X-User": user, **headers})


def test_cached_response_holds_nothing_of_another_caller(shop: str) -> None:
    first = ask(shop, "GET", "/api/statuses/1", "Anna")
    tag = {"If-None-Match": first.headers["ETag"]}
    others = [
        ask(shop, "GET", "/api/statuses/1", "Boris"),
        ask(shop, "HEAD", "/api/statuses/1", "Boris"),
        ask(shop, "GET", "/api/statuses/1", "Boris", **tag),
    ]

    assert [other.status_code for other in others] == [200, 200, 304]
    for other in others:
        assert other.headers.get_list("Set-Cookie") == ["session=of-Boris; Path=/"]
        assert other.headers.get_list("X-Greeting") == ["Hello Boris"]


def test_fallback_calls_no_view_of_the_shop(shop: str) -> None:
    refused = ask(shop, "DELETE", "/api/export", "Anna")
    hidden = ask(shop, "DELETE", "/api/secret/x", "Anna")
    options = ask(shop, "OPTIONS", "/api/statuses/1", "Anna")

    assert (refused.status_code, hidden.status_code) == (405, 405)
    assert refused.headers["Allow"] == "GET, HEAD, OPTIONS"
    assert "secret" not in hidden.text
    assert ask(shop, "GET", "/api/export", "owner").text == "1"  # the first call
    assert options.headers["Allow"] == "GET, HEAD, PUT, DELETE, OPTIONS"


def test_prefix_may_have_a_variable(shop: str) -> None:
    created = ask(shop, "POST", "/acme/api/statuses?description=x", "Anna")
    assert created.status_code == 400

    listed = ask(shop, "GET", "/acme/api/statuses?items_per_page=3", "Anna")
    in_store = ask(shop, "GET", "/acme/api/stores/1/statuses/2", "Anna")
    location = httpx.post(
        f"{shop}/acme/api/statuses",
        json={"description": "Packed"},
        headers={"X-User": "Anna"},
    ).headers["Location"]
    deleted = ask(shop, "DELETE", location, "Anna")

    assert (listed.status_code, len(listed.json())) == (200, 3)
    assert listed.headers["Link"].startswith("</acme/api/statuses?")
    assert in_store.json()["status_id"] == "2"
    assert deleted.status_code == 204
    assert ask(shop, "GET", location, "Anna").status_code == 404
