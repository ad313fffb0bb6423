"""The page that shows the OpenAPI document: who is served it, and what it needs."""

import re
from html import unescape
from urllib.parse import urljoin

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy
from jinja2 import DictLoader
from werkzeug.test import TestResponse

from order_statuses.api import create_blueprint
from order_statuses.app import create_app

from .contract import NEVER_OPENED

PREFIXES = ["/api/2.0", "/api"]
PAGES = [f"{prefix}/docs{end}" for prefix in PREFIXES for end in ("", "/")]
NOBODY = NEVER_OPENED | {"ORDER_STATUSES_IDENTIFY": lambda: None}


def stranger(**settings: str) -> FlaskClient:
    """Return a client of a service that knows no callers."""
    return create_app(NOBODY | settings).test_client()


def shop_without_mounts() -> Flask:
    """Make a shop that knows no callers."""
    shop = Flask("shop")
    shop.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
    SQLAlchemy(shop)
    shop.config["ORDER_STATUSES_IDENTIFY"] = lambda: None
    return shop


def shop_with(*mounts: str) -> FlaskClient:
    """Return a client of a shop that mounts the API, with its page, at each prefix."""
    shop = shop_without_mounts()
    for number, prefix in enumerate(mounts):
        bp = create_blueprint(f"mount_{number}", docs=True)
        shop.register_blueprint(bp, url_prefix=prefix)
    return shop.test_client()


def addresses(page: TestResponse) -> list[str]:
    """Return the addresses that *page* names, as it names them."""
    return [unescape(a) for a in re.findall('(?:href|src)="(.*?)"', page.text)]


def files_of(page: TestResponse) -> list[str]:
    """Return the paths of the files that *page* loads."""
    named = [a for a in addresses(page) if not a.startswith("/")]
    return [urljoin(page.request.path, address) for address in named]


@pytest.mark.parametrize("address", PAGES)
def test_page_and_its_files_are_for_everyone(address: str) -> None:
    client = stranger()
    page = client.get(address)
    files = {path.rpartition(".")[2]: client.get(path) for path in files_of(page)}

    assert (page.status_code, page.mimetype) == (200, "text/html")
    assert {end: (file.status_code, file.mimetype) for end, file in files.items()} == {
        "png": (200, "image/png"),
        "css": (200, "text/css"),
        "js": (200, "text/javascript"),
    }
    assert len(files_of(page)) == 5
    assert client.head(address).status_code == 200


@pytest.mark.parametrize("address", PAGES)
def test_page_and_its_files_may_load_from_their_own_host_alone(address: str) -> None:
    client = stranger()
    page = client.get(address)

    for response in (page, *map(client.get, files_of(page))):
        headers = response.headers
        policy = headers["Content-Security-Policy"].split("; ")
        assert policy[:2] == ["default-src 'self'", "img-src 'self' data:"]
        assert "frame-ancestors 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("address", ["", "/", "/init.js", "/swagger-ui.css"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_page_is_for_everyone_to_read_and_nothing_else(
    method: str, address: str
) -> None:
    response = stranger().open(f"/api/docs{address}", method=method)

    assert response.status_code == 401


@pytest.mark.parametrize(
    "address", ["/docs/x", "/docs/swagger-ui.js", "/docs/../statuses", "/docsx", "/"]
)
def test_nothing_beside_the_page_is_for_everyone(address: str) -> None:
    assert stranger().get(f"/api/2.0{address}").status_code == 401


def test_a_browser_loads_the_files_once() -> None:
    client = stranger()
    first = client.get("/api/docs/swagger-ui-bundle.js")
    etag = {"If-None-Match": first.headers["ETag"]}

    again = client.get("/api/docs/swagger-ui-bundle.js", headers=etag)

    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize("root", ["", "/shop"])
def test_address_of_the_service_leads_to_the_page(root: str) -> None:
    led = stranger().get("/", environ_overrides={"SCRIPT_NAME": root})

    assert (led.status_code, led.location) == (302, f"{root}/api/2.0/docs")


def test_service_may_serve_no_page() -> None:
    client = stranger(ORDER_STATUSES_DOCS="no")

    assert client.get("/").status_code == 404
    assert client.get("/api/docs").status_code == 401
    assert client.get("/api/docs/init.js").status_code == 401


def links(page: TestResponse) -> list[str]:
    return [address for address in addresses(page) if address.startswith("/")]


def test_pages_of_the_service_link_to_each_other() -> None:
    client = stranger()
    versioned, unversioned = client.get("/api/2.0/docs"), client.get("/api/docs")

    assert links(versioned) == ["/api/docs"]
    assert "/api</a>, lists come in an envelope" in versioned.text
    assert links(unversioned) == ["/api/2.0/docs"]
    assert "/api/2.0</a>, lists come as plain arrays" in unversioned.text


@pytest.mark.parametrize(
    ("mounts", "path", "linked"),
    [
        (["/api"], "/api", []),
        (["/<tenant>/a", "/<tenant>/b"], "/x/a", ["/x/b/docs"]),
        (["/<tenant>/a", "/<tenant>/b"], '/"<x/a', ["/%22%3Cx/b/docs"]),
        (["/a", "/<tenant>/b"], "/a", []),
        (["/a", "/<tenant>/b"], "/x/b", ["/a/docs"]),
        (["/<path>/a"], "/x/a", []),
        (["/<endpoint>/a", "/b"], "/x/a", []),
        (["/<int:tenant>/a", "/<tenant>/b"], "/x/b", []),
        (["/<int:tenant>/a", "/<tenant>/b"], "/5/b", ["/5/a/docs"]),
    ],
)
def test_page_of_a_shop_links_to_those_that_it_has(
    mounts: list[str], path: str, linked: list[str]
) -> None:
    client = shop_with(*mounts)
    page = client.get(f"{path}/docs")

    assert (page.status_code, links(page)) == (200, linked)
    assert {client.get(file).status_code for file in files_of(page)} == {200}


def test_cookies_are_sent_where_a_shop_knows_its_callers_by_them() -> None:
    service = create_app(NEVER_OPENED).test_client()

    assert 'data-credentials="omit"' in service.get("/api/docs").text
    assert 'data-credentials="same-origin"' in shop_with("/api").get("/api/docs").text


def test_templates_of_a_shop_are_none_of_the_pages() -> None:
    client = shop_with("/api")
    client.application.jinja_loader = DictLoader({"index.html": "The shop's page"})

    assert "<title>Order statuses</title>" in client.get("/api/docs").text


def test_shop_serves_no_page_unless_it_says_so() -> None:
    shop = shop_without_mounts()
    shop.register_blueprint(create_blueprint(), url_prefix="/api")

    assert shop.test_client().get("/api/docs").status_code == 401
