"""Input that is broken on purpose: each gets its own 4xx, and changes nothing."""

import json
from base64 import b64encode
from functools import partial
from io import BytesIO
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from .conftest import settings_of

pytestmark = pytest.mark.one_database

STATUS = "/api/2.0/statuses/2"
LARGE = "9" * 30  # past 64 bits
FIELDS = [f"f{number}" for number in range(10_000)]
# How gunicorn hands a chunked body over.
CHUNKED = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}

# What the body of a PUT is, and what the response says about it.
BROKEN_JSON = [
    (b"[" * 100_000, "nested too deeply"),
    (b'{"a":' * 100_000, "nested too deeply"),
    (b'{"params": {"a": %s}}' % (b"9" * 5000), "is too large"),
    (b'{"description": "\xff"}', "not UTF-8"),
    (b'{"description": "a\\u0000b"}', "NUL"),
    (b'{"params": {"a": "\\u0000"}}', "NUL"),
    (b'{"\\u0000": ""}', "NUL"),
    (b'{"description": "\\ud800"}', "surrogate"),
    (b'{"deep": [{"\\udfff": 1}]}', "surrogate"),
    (b'{"description": "a", "description": "b"}', "twice"),
    (b'{"params": {"color": "#000000", "color": "#ffffff"}}', "twice"),
    (b'{"params": {"a": 1e999}}', "not a finite number"),
    (b'{"params": {"a": NaN}}', "not a finite number"),
    (json.dumps(dict.fromkeys(FIELDS, "")).encode(), "more than 1000 fields"),
    (b'{"description": "cut', "not valid JSON"),
    (b"\xef\xbb\xbf" * 2 + b"{}", "not valid JSON"),
]
BROKEN_FORMS = [
    ("&".join(f"{name}=" for name in FIELDS).encode(), "more than 1000 fields"),
    (b"&" * 100_000, "more than 1000 fields"),
    (b"description=%ff", "not UTF-8"),
    (b"description=\xff", "not UTF-8"),
    (b"description=%00", "NUL"),
    (b"params[%00]=", "NUL"),
    (b"params=a&params[color]=%23000000", "both plain and with brackets"),
    (b"params" + b"[" * 100_000 + b"]=a", "params"),
    (b"params[" + b"a[" * 10_000 + b"]" * 10_001 + b"=a", "params"),
    (b"[" * 100_000 + b"=a", "Nothing to update"),
]


def refused(client: FlaskClient, **request: Any) -> str:
    """Send a PUT that must be a 400 without effect; return the message."""
    before = client.get(STATUS).json

    response = client.put(STATUS, **request)

    assert (response.status_code, response.mimetype) == (400, "application/json")
    assert client.get(STATUS).json == before
    assert response.json is not None
    message: str = response.json["message"]
    return message


@pytest.mark.parametrize(("body", "reason"), BROKEN_JSON)
def test_broken_json(client: FlaskClient, body: bytes, reason: str) -> None:
    message = refused(client, data=body, content_type="application/json")

    assert reason in message


@pytest.mark.parametrize(("body", "reason"), BROKEN_FORMS)
def test_broken_form(client: FlaskClient, body: bytes, reason: str) -> None:
    message = refused(client, data=body, content_type="text/plain")

    assert reason in message


@pytest.mark.parametrize("terminated", [True, False])
def test_body_that_ends_before_its_length(
    client: FlaskClient, terminated: bool
) -> None:
    # gunicorn ends such a body as if it were whole, other servers raise.
    lie = {"CONTENT_LENGTH": "100", "wsgi.input_terminated": terminated}

    message = refused(client, data=b"description=Te", environ_overrides=lie)

    assert "did not arrive whole" in message


def test_body_that_the_server_cannot_read(client: FlaskClient) -> None:
    class Broken(BytesIO):
        def readinto(self, buffer: object) -> int:
            raise ArithmeticError("gunicorn's own InvalidChunkSize is no OSError")

    message = refused(client, input_stream=Broken(), environ_overrides=CHUNKED)

    assert "did not arrive whole" in message


@pytest.mark.parametrize("terminated", [True, False])
def test_body_that_is_too_large(client: FlaskClient, terminated: bool) -> None:
    body = b"description=" + b"a" * 10_000_000

    response = client.put(
        STATUS, data=body, environ_overrides={"wsgi.input_terminated": terminated}
    )

    assert response.status_code == 413


@pytest.mark.parametrize("encoding", ["chunked", "Chunked", "gzip, chunked"])
def test_chunked_body_that_the_server_does_not_hand_over_is_411(
    client: FlaskClient, encoding: str
) -> None:
    before = client.get(STATUS).data
    as_uwsgi_has_it = {"HTTP_TRANSFER_ENCODING": encoding, "CONTENT_LENGTH": ""}

    refused: Any = client.put(
        STATUS, data="description=x", environ_overrides=as_uwsgi_has_it
    )

    assert (refused.status_code, refused.json["status"]) == (411, 411)
    assert "Content-Length" in refused.json["message"]
    assert client.get(STATUS).data == before


def test_endless_chunked_body(client: FlaskClient) -> None:
    body = BytesIO(b"a" * 10_000_000)

    response = client.put(STATUS, input_stream=body, environ_overrides=CHUNKED)

    assert response.status_code == 413


@pytest.mark.parametrize("environ", [CHUNKED, {"wsgi.input_terminated": True}, {}])
def test_largest_body(client: FlaskClient, environ: dict[str, Any]) -> None:
    body = BytesIO(b"email_subj=&a=".ljust(1024 * 1024, b"a"))

    response = client.put(STATUS, input_stream=body, environ_overrides=environ)

    assert response.status_code == 200


def test_compressed_body(client: FlaskClient) -> None:
    headers = {"Content-Encoding": "gzip"}

    assert client.put(STATUS, data=b"\x1f\x8b", headers=headers).status_code == 415


@pytest.mark.parametrize("query", ["type=\xff", "\xff", "_d=statuses/2&a=\xff"])
@pytest.mark.parametrize("address", ["/api/2.0/statuses", "/api/statuses/2"])
def test_query_that_is_not_utf8(client: FlaskClient, address: str, query: str) -> None:
    response = client.get(address, environ_overrides={"QUERY_STRING": query})

    assert response.status_code == 400
    assert response.json is not None
    assert "The query is not UTF-8" in response.json["message"]


def test_other_text_that_is_not_utf8_is_an_error_of_the_server(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    identify = partial(b"\xff".decode, "utf-8")
    monkeypatch.setitem(settings_of(app), "ORDER_STATUSES_IDENTIFY", identify)

    with pytest.raises(UnicodeDecodeError):
        client.get(STATUS)


@pytest.mark.parametrize("query", ["type=%ff", "type=%00", "type=O%0d%0a"])
def test_type_that_no_one_has(client: FlaskClient, query: str) -> None:
    assert client.get(f"/api/2.0/statuses?{query}").json == []


@pytest.mark.parametrize("value", [LARGE, "9" * 5000, "%d9%a1", "1%00", "%ff", "-1"])
@pytest.mark.parametrize("name", ["page", "items_per_page"])
def test_page_numbers_out_of_range(client: FlaskClient, name: str, value: str) -> None:
    response = client.get(f"/api/2.0/statuses?{name}={value}")

    assert response.status_code == 400
    assert response.json is not None
    assert list(response.json["errors"]) == [name]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "status_id", [LARGE, 2**63, "%ff", "%00", "2%00", "2%0a", "%d9%a2", "__class__"]
)
def test_ids_that_are_none(
    client: FlaskClient, method: str, status_id: str | int
) -> None:
    response = client.open(
        f"/api/2.0/statuses/{status_id}", method=method, data="email_subj=b"
    )

    assert (response.status_code, response.mimetype) == (404, "application/json")


@pytest.mark.parametrize("name", ["__class__", "__proto__", "constructor"])
def test_prototype_names_are_only_names(client: FlaskClient, name: str) -> None:
    """They are ignored as a field, and stored as a param like any other."""
    before = client.get(STATUS).json

    client.put(STATUS, json={name: {"color": "red"}, "params": {name: "a"}})

    assert before is not None
    expected = before | {"params": before["params"] | {name: "a"}}
    assert client.get(STATUS).json == expected


@pytest.mark.parametrize("override", ["_method=DELETE", "a=b"])
def test_method_overrides_are_ignored(client: FlaskClient, override: str) -> None:
    headers = {"X-HTTP-Method-Override": "DELETE", "X-HTTP-Method": "DELETE"}

    responses = [
        client.get(f"/api/2.0/statuses/3?{override}", headers=headers),
        client.post(f"/api/2.0/statuses/3?{override}", headers=headers),
        client.put("/api/2.0/statuses/3", data=f"description=B&{override}"),
        client.get("/api/2.0/statuses/3"),
    ]

    assert [response.status_code for response in responses] == [200, 405, 200, 200]


def encoded(credentials: bytes) -> str:
    return "Basic " + b64encode(credentials).decode()


@pytest.mark.parametrize(
    "header",
    [
        encoded(b"\xff:a"),
        encoded(b"admin@shop.example:\xff"),
        encoded(b"\0:\0"),
        encoded("\ud800:a".encode(errors="surrogatepass")),
        encoded(b"a@shop.example\r\n127.0.0.1 - admin:a"),
        encoded(b"a" * 100_000),
        "Basic \xff\xff\xff\xff",
        "Basic =",
        "Basic",
        "\xff",
    ],
)
def test_broken_credentials(
    stranger: FlaskClient, caplog: pytest.LogCaptureFixture, header: str
) -> None:
    sent = {"HTTP_AUTHORIZATION": header}

    response = stranger.get(STATUS, environ_overrides=sent)

    assert (response.status_code, response.mimetype) == (401, "application/json")
    assert "127.0.0.1" not in caplog.text
