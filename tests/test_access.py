"""Who may do what: API users, and tricked browsers."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from order_statuses import openapi
from order_statuses.auth import Caller
from order_statuses.database import db
from order_statuses.models import Key, User

from .conftest import (
    ADMINISTRATOR,
    BOUND,
    KEY,
    basic,
    client_of,
    settings_of,
)

pytestmark = pytest.mark.one_database

CHALLENGE = 'Basic realm="User email/API key", charset="UTF-8"'

# rule, method, and the status code for an administrator, a user bound to store 1, and a
# stranger. Store 1 and status 3 stand in the rules' places; status 3 may be deleted.
ACCESS = [
    ("/statuses", "GET", 200, 200, 401),
    ("/statuses", "POST", 201, 403, 401),
    ("/statuses/<status_id>", "GET", 200, 200, 401),
    ("/statuses/<status_id>", "PUT", 200, 403, 401),
    ("/statuses/<status_id>", "DELETE", 204, 403, 401),
    ("/stores", "GET", 200, 200, 401),
    ("/stores/<store_id>", "GET", 200, 200, 401),
    ("/stores/<store_id>/statuses", "GET", 200, 200, 401),
    ("/stores/<store_id>/statuses/<status_id>", "GET", 200, 200, 401),
    ("/stores/<store_id>/statuses/<status_id>", "PUT", 200, 200, 401),
    ("/openapi.json", "GET", 200, 200, 200),
    ("/docs", "GET", 200, 200, 200),
    *((f"/docs/{file}", "GET", 200, 200, 200) for file in openapi.FILES),
    ("/", "GET", 404, 404, 401),
    ("/", "POST", 404, 404, 401),
    ("/<address>", "GET", 404, 404, 401),
    ("/<address>", "POST", 404, 404, 401),
    ("/<address>", "OPTIONS", 404, 404, 401),
]
BODY = "description=Test&email_subj=test"


def address_of(rule: str) -> str:
    places = {"<status_id>": "3", "<store_id>": "1", "<address>": "nothing"}
    for place, value in places.items():
        rule = rule.replace(place, value)
    return f"/api/2.0{rule}"


@pytest.mark.parametrize(
    ("rule", "method", "administrator", "bound", "stranger"), ACCESS
)
def test_access(
    app: Flask, rule: str, method: str, administrator: int, bound: int, stranger: int
) -> None:
    callers = app.test_client(), client_of(app, BOUND), client_of(app, ADMINISTRATOR)

    responses = [c.open(address_of(rule), method=method, data=BODY) for c in callers]

    assert [a.status_code for a in responses] == [stranger, bound, administrator]


def test_access_table_is_complete(app: Flask) -> None:
    tried = {(rule, method) for rule, method, *_ in ACCESS}
    served = {
        (rule.rule.removeprefix("/api/2.0"), method)
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/2.0") and "address" not in rule.arguments
        for method in (rule.methods or set()) - {"HEAD"}
        if not rule.endpoint.endswith(".fallback")
    }

    assert served <= tried


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("GET", "/stores/2"),
        ("GET", "/stores/99"),
        ("GET", "/stores/01"),
        ("GET", "/stores/2/statuses"),
        ("GET", "/stores/2/statuses/2"),
        ("PUT", "/stores/2/statuses/2"),
        ("PUT", "/stores/99/statuses/2"),
    ],
)
def test_other_stores_are_forbidden_whether_they_exist_or_not(
    bound_client: FlaskClient, method: str, address: str
) -> None:
    refused = bound_client.open(f"/api/2.0{address}", method=method, data=BODY)

    assert refused.status_code == 403
    assert "message" in (refused.json or {})


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_bound_user_is_told_the_address_to_use(
    bound_client: FlaskClient, method: str
) -> None:
    refused = bound_client.open("/api/2.0/statuses/2", method=method, data=BODY)

    assert refused.status_code == 403
    assert "PUT /stores/1/statuses/:id" in refused.text


def test_bound_user_sees_the_texts_of_the_store_everywhere(
    bound_client: FlaskClient, client: FlaskClient
) -> None:
    bound_client.put("/api/2.0/stores/1/statuses/2", data="email_subj=test")

    one: Any = bound_client.get("/api/2.0/statuses/2").json
    listed: Any = bound_client.get("/api/2.0/statuses").json
    common: Any = client.get("/api/2.0/statuses/2").json

    assert (one["email_subj"], listed[1]["email_subj"]) == ("test", "test")
    assert common["email_subj"] == "has been completed"


def test_bound_user_sees_one_store(bound_client: FlaskClient) -> None:
    assert bound_client.get("/api/2.0/stores").json == [
        {"company_id": "1", "company": "Main store"}
    ]


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Basic",
        "Basic !!!",
        "Basic YQ",
        "Basic /////w==",
        "Bearer " + KEY + ADMINISTRATOR,
        basic(ADMINISTRATOR, "wrong"),
        basic(ADMINISTRATOR, ""),
        basic(ADMINISTRATOR, KEY + BOUND),
        basic("nobody@shop.example", KEY + ADMINISTRATOR),
        basic(ADMINISTRATOR + "\0", KEY + ADMINISTRATOR),
        basic("", ""),
    ],
)
def test_wrong_credentials_are_refused_alike(
    stranger: FlaskClient, authorization: str
) -> None:
    refused = stranger.get(
        "/api/2.0/statuses", headers={"Authorization": authorization}
    )

    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == CHALLENGE
    assert refused.json == {
        "message": "Unauthorized: Send the e-mail and the API key of an API user "
        "by HTTP Basic.",
        "status": 401,
    }


RIGHT = basic(ADMINISTRATOR, KEY + ADMINISTRATOR)


@pytest.mark.parametrize(
    "authorization",
    [
        RIGHT,
        RIGHT.replace("Basic", "basic"),
        RIGHT + ":",
        RIGHT + "=",
        RIGHT + "==:",
        RIGHT.rstrip("="),
        RIGHT.replace(" ", "  "),
        basic(ADMINISTRATOR.upper(), KEY + ADMINISTRATOR),
    ],
)
def test_credentials_are_decoded_leniently(
    stranger: FlaskClient, authorization: str
) -> None:
    headers = {"Authorization": authorization}

    assert stranger.get("/api/2.0/statuses", headers=headers).status_code == 200


def test_user_may_have_several_keys(app: Flask, stranger: FlaskClient) -> None:
    added = app.test_cli_runner().invoke(
        args=["order-statuses", "add-user", ADMINISTRATOR.upper()]
    )

    for key in (KEY + ADMINISTRATOR, added.stdout.strip()):
        headers = {"Authorization": basic(ADMINISTRATOR, key)}
        assert stranger.get("/api/2.0/statuses", headers=headers).status_code == 200


def test_deactivated_user_is_refused(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        db.session.query(User).update({"is_active": False})
        db.session.commit()

    assert client.get("/api/2.0/statuses").status_code == 401


def test_keys_are_stored_as_hashes_alone(app: Flask) -> None:
    added = app.test_cli_runner().invoke(
        args=["order-statuses", "add-user", "new@shop.example"]
    )

    with app.app_context():
        hashes = list(db.session.scalars(db.select(Key.key_hash)))
    assert all(len(key_hash) == 64 for key_hash in hashes)
    assert added.stdout.strip() not in hashes


def test_service_without_users_says_how_to_add_one(
    app: Flask, stranger: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    with app.app_context():
        db.session.query(User).delete()
        db.session.commit()

    assert stranger.get("/api/2.0/statuses").status_code == 401
    assert "flask order-statuses add-user" in caplog.text


@pytest.fixture
def shop_client(app: Flask, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    """A caller whom the shop's own login knows, and who may only read."""
    reader = Caller("reader", read_only=True)
    monkeypatch.setitem(settings_of(app), "ORDER_STATUSES_IDENTIFY", lambda: reader)
    return app.test_client()


def test_reading_caller_reads_alone(shop_client: FlaskClient) -> None:
    assert shop_client.get("/api/2.0/statuses").status_code == 200
    assert shop_client.delete("/api/2.0/statuses/3").status_code == 403


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
@pytest.mark.parametrize(
    ("method", "address"),
    [("POST", ""), ("PUT", "/1"), ("DELETE", "/3")],
)
def test_tricked_browsers_write_nothing(
    client: FlaskClient, method: str, address: str, headers: dict[str, str]
) -> None:
    refused = client.open(
        f"/api/2.0/statuses{address}", method=method, data=BODY, headers=headers
    )

    assert refused.status_code == 403
    assert refused.content_type == "application/json"


@pytest.mark.parametrize("headers", TRICKED)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_reading_is_open_to_other_sites_with_credentials(
    client: FlaskClient, method: str, headers: dict[str, str]
) -> None:
    response = client.open("/api/2.0/statuses", method=method, headers=headers)

    assert response.status_code in {200, 204}


@pytest.mark.parametrize("headers", HARMLESS)
def test_requests_of_scripts_and_of_this_site_write(
    client: FlaskClient, headers: dict[str, str]
) -> None:
    response = client.put("/api/2.0/statuses/1", data=BODY, headers=headers)

    assert response.status_code == 200


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
@pytest.mark.parametrize(
    ("method", "address"), [("POST", ""), ("PUT", "/1"), ("DELETE", "/3")]
)
def test_pages_of_trusted_origins_write(
    trusting_client: FlaskClient, method: str, address: str, site: dict[str, str]
) -> None:
    written = trusting_client.open(
        f"/api/2.0/statuses{address}",
        method=method,
        data=BODY,
        headers=site | {"Origin": ADMIN_PAGE},
    )

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
    refused = trusting_client.put("/api/2.0/statuses/1", data=BODY, headers=headers)

    assert refused.status_code == 403


# Before a page of another origin sends something, the browser asks.

ASKED = {"Origin": ADMIN_PAGE, "Access-Control-Request-Method": "PUT"}


@pytest.mark.parametrize(
    ("address", "methods"),
    [
        ("/statuses", "GET, HEAD, POST, OPTIONS"),
        ("/statuses/", "GET, HEAD, POST, OPTIONS"),
        ("/statuses/999", "GET, HEAD, PUT, DELETE, OPTIONS"),
        ("/stores", "GET, HEAD, OPTIONS"),
        ("/stores/2/statuses/2", "GET, HEAD, PUT, OPTIONS"),
        ("/openapi.json", "GET, HEAD, OPTIONS"),
    ],
)
def test_preflight_needs_no_credentials(
    stranger: FlaskClient, bound_client: FlaskClient, address: str, methods: str
) -> None:
    for client in (stranger, bound_client):
        allowed = client.options(f"/api/2.0{address}", headers=ASKED)

        assert (allowed.status_code, allowed.headers["Allow"]) == (204, methods)


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
