"""Who may do what: credentials, API users, and users who are bound to a store."""

from base64 import b64encode
from itertools import product
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from order_statuses import openapi
from order_statuses.auth import Caller
from order_statuses.database import db
from order_statuses.models import Key, User

from .conftest import ADMINISTRATOR, BOUND, KEY, basic, client_of, settings_of
from .statuses import assert_error

pytestmark = pytest.mark.one_database

CHALLENGE = 'Basic realm="User email/API key", charset="UTF-8"'
WRITING = ("POST", "PUT", "DELETE", "PATCH")

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
    ("/openapi.json", "HEAD", 200, 200, 200),
    *(("/openapi.json", method, 405, 405, 401) for method in WRITING),
    ("/openapi.json", "OPTIONS", 204, 204, 401),
    *((f"/openapi{end}", "GET", 404, 404, 401) for end in ("", ".yaml", ".json/x")),
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
        *product(["GET", "HEAD"], ["2", "99", "01", "abc"]),
        *product(["GET", "HEAD"], ["2/statuses", "2/statuses/2", "99/statuses/999"]),
        *product(["PUT"], ["2/statuses/2", "99/statuses/2"]),
    ],
)
def test_other_stores_are_forbidden_whether_they_exist_or_not(
    bound_client: FlaskClient, method: str, address: str
) -> None:
    refused = bound_client.open(f"/api/2.0/stores/{address}", method=method, data=BODY)

    assert refused.status_code == 403
    if method != "HEAD":
        assert_error(refused, 403)


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


def encoded(credentials: bytes) -> str:
    return "Basic " + b64encode(credentials).decode()


@pytest.mark.parametrize(
    "authorization",
    [
        *("", "\xff", "Basic", "Basic =", "Basic !!!", "Basic YQ", "Basic /////w=="),
        "Basic \xff\xff\xff\xff",
        "Bearer " + KEY + ADMINISTRATOR,
        basic(ADMINISTRATOR, "wrong"),
        basic(ADMINISTRATOR, ""),
        basic(ADMINISTRATOR, KEY + BOUND),
        basic("nobody@shop.example", KEY + ADMINISTRATOR),
        basic(ADMINISTRATOR + "\0", KEY + ADMINISTRATOR),
        basic("", ""),
        encoded(b"\xff:a"),
        encoded(b"admin@shop.example:\xff"),
        encoded(b"\0:\0"),
        encoded("\ud800:a".encode(errors="surrogatepass")),
        encoded(b"a@shop.example\r\n127.0.0.1 - admin:a"),
        encoded(b"a" * 100_000),
    ],
)
def test_wrong_credentials_are_refused_alike(
    stranger: FlaskClient, caplog: pytest.LogCaptureFixture, authorization: str
) -> None:
    sent = {"HTTP_AUTHORIZATION": authorization}
    refused = stranger.get("/api/2.0/statuses", environ_overrides=sent)

    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == CHALLENGE
    assert refused.json == {
        "message": "Unauthorized: Send the e-mail and the API key of an API user "
        "by HTTP Basic.",
        "status": 401,
    }
    assert "127.0.0.1" not in caplog.text


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
