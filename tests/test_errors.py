"""Errors: their form, and which is the one for a request with several faults."""

from functools import partial

import pytest
from flask import Flask
from flask.testing import FlaskClient

from .conftest import service, settings_of
from .statuses import STATUSES, assert_error

pytestmark = pytest.mark.one_database

LARGE = b"description=" + b"a" * 2**20
XML = {"Content-Type": "application/xml"}
FOREIGN = {"Origin": "https://evil.example"}
# A body that is too large and of an unknown type.
ALL = XML | {"Accept": "text/html"}
FOREIGN_ALL = ALL | FOREIGN
MALFORMED = {"If-Match": "unquoted"}
STALE = {"If-Match": '"of-something-else"'}
AS_JSON = {"Content-Type": "application/json"}
TOO_MANY_PARAMS = b'{"params": {%s}}' % b", ".join(b'"p%d": "x"' % n for n in range(64))


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("OPTIONS", "/stores/2/statuses/999"),
        ("PATCH", "/nothing"),
        ("GET", "/no%0Athing"),
        ("POST", "/statuses/999"),
    ],
)
def test_strangers_learn_nothing(
    stranger: FlaskClient, method: str, address: str
) -> None:
    refused = stranger.open(
        f"/api/2.0{address}", method=method, headers=FOREIGN_ALL, data=LARGE
    )

    assert_error(refused, 401)


@pytest.mark.parametrize(
    ("method", "address", "headers", "body", "code", "word"),
    [
        # Each has every fault of those below it, and one more.
        ("POST", "/nothing", FOREIGN_ALL, LARGE, 404, ""),
        ("POST", "/statuses/999", FOREIGN_ALL, LARGE, 405, ""),
        ("PATCH", "/stores/99/statuses/2", FOREIGN_ALL, LARGE, 405, ""),
        ("DELETE", "/stores/1/statuses/999", FOREIGN_ALL, LARGE, 405, ""),
        ("PUT", "/statuses?page=%FF", {}, b"", 405, ""),
        ("PUT", "/statuses/999", FOREIGN_ALL, LARGE, 403, ""),
        ("POST", "/statuses", FOREIGN_ALL, LARGE, 403, ""),
        ("PUT", "/statuses/999", ALL, LARGE, 413, ""),
        ("PUT", "/stores/99/statuses/999", ALL, LARGE, 413, ""),
        ("PUT", "/statuses/999?lang_code=xx", MALFORMED | XML, b"{", 415, ""),
        ("PUT", "/statuses/999?lang_code=xx", MALFORMED | AS_JSON, b"{", 400, "JSON"),
        ("PUT", "/statuses/999", MALFORMED | AS_JSON, b"{}", 400, "Nothing"),
        ("PUT", "/statuses/999", MALFORMED | AS_JSON, TOO_MANY_PARAMS, 400, "quote"),
        ("PUT", "/statuses/999", STALE | AS_JSON, TOO_MANY_PARAMS, 404, ""),
        ("PUT", "/statuses/1", STALE | AS_JSON, TOO_MANY_PARAMS, 412, ""),
        ("PUT", "/statuses/1", AS_JSON, TOO_MANY_PARAMS, 400, "64"),
        ("PUT", "/stores/99/statuses/999?lang_code=xx", STALE, b"email_subj=", 400, ""),
        ("PUT", "/stores/99/statuses/999", MALFORMED, b"email_subj=", 400, "quote"),
        ("PUT", "/stores/99/statuses/999", STALE, b"email_subj=", 404, "store"),
        ("PUT", "/stores/1/statuses/999", STALE, b"email_subj=", 404, "status"),
        ("PUT", "/stores/1/statuses/1", STALE, b"email_subj=", 412, ""),
        ("DELETE", "/statuses/999", MALFORMED | XML, b"", 400, "quote"),
        ("DELETE", "/statuses/999", STALE, b"", 404, ""),
        ("DELETE", "/statuses/1", STALE, b"", 412, ""),
        ("DELETE", "/statuses/1", {}, b"", 400, "default"),
        ("POST", "/statuses", ALL, LARGE, 413, ""),
        ("POST", "/statuses", MALFORMED | XML, b"{\xff", 415, ""),
        ("POST", "/statuses", MALFORMED, b"type=O", 400, "description"),
        ("POST", "/statuses", MALFORMED, b"description=Packed", 400, "quote"),
        ("POST", "/statuses", STALE, b"description=Packed", 412, ""),
        ("GET", "/stores/99/statuses?page=x", MALFORMED, b"", 400, "page"),
        ("GET", "/stores/99/statuses", MALFORMED, b"", 404, "store"),
    ],
)
def test_refusals_come_in_order(
    client: FlaskClient,
    method: str,
    address: str,
    headers: dict[str, str],
    body: bytes,
    code: int,
    word: str,
) -> None:
    response = client.open(
        f"/api/2.0{address}", method=method, headers=headers, data=body
    )

    assert_error(response, code)
    assert word in response.get_json()["message"]


@pytest.mark.parametrize("query", ["type=\xff", "\xff", "_d=statuses/2&a=\xff"])
@pytest.mark.parametrize("address", [STATUSES, "/api/statuses/2"])
def test_query_that_is_not_utf8_is_400(
    client: FlaskClient, address: str, query: str
) -> None:
    refused = client.get(address, environ_overrides={"QUERY_STRING": query})

    assert_error(refused, 400)
    assert "The query is not UTF-8" in refused.get_json()["message"]


def test_other_text_that_is_not_utf8_is_an_error_of_the_server(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    identify = partial(b"\xff".decode, "utf-8")
    monkeypatch.setitem(settings_of(app), "ORDER_STATUSES_IDENTIFY", identify)

    with pytest.raises(UnicodeDecodeError):
        client.get(STATUSES)


def test_failure_is_a_500_in_json_that_tells_nothing(database: str) -> None:
    def fail() -> None:
        raise RuntimeError("a secret")

    with service(database, TESTING=False, ORDER_STATUSES_IDENTIFY=fail) as app:
        response = app.test_client().get(STATUSES)

    assert_error(response, 500)
    assert "secret" not in response.text
