"""Requests that browsers send for pages of other sites: tricked ones, trusted ones, and
what the browser asks before it sends one (CORS preflight).
"""

import pytest
from flask.testing import FlaskClient

from .conftest import settings_of
from .statuses import STATUSES, assert_error

pytestmark = pytest.mark.one_database

BODY = "description=Test"
WRITES = [("POST", STATUSES), ("PUT", f"{STATUSES}/1"), ("DELETE", f"{STATUSES}/3")]

TRICKED = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    {"Sec-Fetch-Site": ""},
    {"Origin": "null"},
    {"Origin": "https://evil.example"},
    {"Origin": "http://localhost:8000"},
    {"Origin": "http://localhost.evil.example"},
    {"Origin": "http://["},
    {"Origin": ""},
]
HARMLESS = [
    {},
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none", "Origin": "https://evil.example"},
    {"Origin": "http://localhost"},
    {"Origin": "https://LOCALHOST:443"},
    {"Origin": "http://shop.example:8080", "Host": "shop.example:8080"},
]


@pytest.mark.parametrize("headers", TRICKED)
@pytest.mark.parametrize(("method", "address"), WRITES)
def test_tricked_browsers_write_nothing(
    client: FlaskClient, method: str, address: str, headers: dict[str, str]
) -> None:
    assert_error(client.open(address, method=method, data=BODY, headers=headers), 403)


@pytest.mark.parametrize("headers", TRICKED)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_reading_is_open_to_other_sites_with_credentials(
    client: FlaskClient, method: str, headers: dict[str, str]
) -> None:
    response = client.open(STATUSES, method=method, headers=headers)

    assert response.status_code in {200, 204}


@pytest.mark.parametrize("headers", HARMLESS)
def test_requests_of_scripts_and_of_this_site_write(
    client: FlaskClient, headers: dict[str, str]
) -> None:
    written = client.put(f"{STATUSES}/1", data=BODY, headers=headers)

    assert written.status_code == 200


ADMIN_PAGE = "https://admin.shop.example"
SITES = ["cross-site", "same-site", "same-origin", "none", ""]


@pytest.fixture
def trusting_client(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> FlaskClient:
    """An administrator of a service that trusts the pages of two origins."""
    origins = ("https://shop.example:8443", ADMIN_PAGE)
    app = client.application
    monkeypatch.setitem(settings_of(app), "ORDER_STATUSES_TRUSTED_ORIGINS", origins)
    return client


@pytest.mark.parametrize("site", [{}, *({"Sec-Fetch-Site": s} for s in SITES)])
@pytest.mark.parametrize(("method", "address"), WRITES)
def test_pages_of_trusted_origins_write(
    trusting_client: FlaskClient, method: str, address: str, site: dict[str, str]
) -> None:
    headers = site | {"Origin": ADMIN_PAGE}
    written = trusting_client.open(address, method=method, data=BODY, headers=headers)

    assert written.status_code in {200, 201, 204}


@pytest.mark.parametrize(
    "headers",
    [
        *TRICKED,
        {"Origin": "http://admin.shop.example"},
        {"Origin": "https://admin.shop.example:8443"},
        {"Origin": "https://shop.example"},
        {"Origin": "https://evil.admin.shop.example"},
    ],
)
def test_pages_of_other_origins_do_not(
    trusting_client: FlaskClient, headers: dict[str, str]
) -> None:
    refused = trusting_client.put(f"{STATUSES}/1", data=BODY, headers=headers)

    assert refused.status_code == 403


# Before a page of another origin sends something, the browser asks.

ASKED = {"Origin": ADMIN_PAGE, "Access-Control-Request-Method": "PUT"}


@pytest.mark.parametrize(
    "address",
    [
        *("/statuses", "/statuses/", "/statuses/999", "/stores"),
        *("/stores/2/statuses/2", "/openapi.json"),
    ],
)
def test_preflight_needs_no_credentials(
    stranger: FlaskClient, bound_client: FlaskClient, address: str
) -> None:
    for client in (stranger, bound_client):
        allowed = client.options(f"/api/2.0{address}", headers=ASKED)

        # And those that the document has: the client checks that.
        assert (allowed.status_code, "GET" in allowed.headers["Allow"]) == (204, True)


@pytest.mark.parametrize(
    ("method", "address", "lacking"),
    [
        ("OPTIONS", "/nothing", None),
        ("OPTIONS", "/", None),
        ("OPTIONS", "/statuses", "Origin"),
        ("OPTIONS", "/statuses", "Access-Control-Request-Method"),
        ("GET", "/statuses", None),
        ("PUT", "/statuses/2", None),
        ("PATCH", "/statuses/2", None),
    ],
)
def test_nothing_but_a_preflight_goes_without_credentials(
    stranger: FlaskClient, method: str, address: str, lacking: str | None
) -> None:
    headers = {name: value for name, value in ASKED.items() if name != lacking}
    refused = stranger.open(f"/api/2.0{address}", method=method, headers=headers)

    assert refused.status_code == 401
