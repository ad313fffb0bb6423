"""Request bodies: every way to get one wrong, and every way to send a good one."""

import json
from collections.abc import Iterator
from io import BytesIO
from itertools import product
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from order_statuses.database import db
from order_statuses.models import Base

from .test_addresses import assert_error

WRITES = [
    ("POST", "/api/2.0/statuses"),
    ("PUT", "/api/2.0/statuses/2"),
    ("PUT", "/api/2.0/stores/1/statuses/2"),
]
JSON = ["application/json", "text/json", "application/vnd.shop+json"]
FORM = ["application/x-www-form-urlencoded", "text/plain", None]
PARTS = ["multipart/form-data; boundary=part"]

# What is good but for the one thing that is wrong.
GOOD = {"description": "Packed", "email_subj": "is packed", "email_header": "Packed."}
GOOD_FORM = b"description=Packed&email_subj=is+packed&email_header=Packed."


def good(**more: Any) -> bytes:
    return json.dumps(GOOD | more).encode()


def parts(*bodies: bytes) -> bytes:
    """Return a multipart body, of parts with their headers."""
    return b"".join(b"--part\r\n" + body + b"\r\n" for body in bodies) + b"--part--\r\n"


def part(name: bytes, value: bytes, more: bytes = b"") -> bytes:
    return (
        b'Content-Disposition: form-data; name="'
        + name
        + b'"'
        + more
        + b"\r\n\r\n"
        + value
    )


GOOD_PARTS = [part(name.encode(), value.encode()) for name, value in GOOD.items()]

# kind of body: what is sent, the status code, and a word of the message
BAD_JSON: dict[str, tuple[bytes, int, str]] = {
    "empty": (b"", 400, "not valid JSON"),
    "broken": (b'{"description": "Packed"', 400, "not valid JSON"),
    "trailing comma": (b'{"description": "Packed",}', 400, "not valid JSON"),
    "form": (GOOD_FORM, 400, "not valid JSON"),
    "array": (b"[1]", 400, "JSON object"),
    "array of a good one": (b"[" + good() + b"]", 400, "JSON object"),
    "string": (b'"description"', 400, "JSON object"),
    "number": (b"1", 400, "JSON object"),
    "null": (b"null", 400, "JSON object"),
    "two objects": (good() + good(), 400, "not valid JSON"),
    "NaN": (good()[:-1] + b', "params": {"x": NaN}}', 400, "NaN"),
    "infinity": (good()[:-1] + b', "params": {"x": -Infinity}}', 400, "-Infinity"),
    "too large a number": (good()[:-1] + b', "x": 1e999}', 400, "1e999"),
    "too many digits": (good()[:-1] + b', "x": ' + b"1" * 5000 + b"}", 400, "digits"),
    "not UTF-8": (good()[:-1] + b', "x": "\xff"}', 400, "UTF-8"),
    "UTF-16": (good().decode().encode("utf-16"), 400, "UTF-8"),
    "NUL": (good(x="a\0b"), 400, "NUL"),
    "NUL in a key": (good(params={"a\0b": "x"}), 400, "NUL"),
    "lone surrogate": (good(x=["\ud800"]), 400, "surrogate"),
    "key twice": (good()[:-1] + b', "description": "x"}', 400, "twice"),
    "inner key twice": (good()[:-1] + b', "x": {"a": 1, "a": 2}}', 400, "twice"),
    "too many fields": (good(**{f"x{n}": 1 for n in range(998)}), 400, "1000 fields"),
    "nested too deeply": (b'{"x":' * 50000 + b"1" + b"}" * 50000, 400, "deep"),
    "too large": (good(x="a" * 2**20), 413, "1 MiB"),
}
BAD_FORMS: dict[str, tuple[bytes, int, str]] = {
    "JSON": (good(), 400, "send Content-Type: application/json"),
    "JSON after white space": (b"\r\n " + good(), 400, "application/json"),
    "not UTF-8": (GOOD_FORM + b"&x=\xff", 400, "UTF-8"),
    "not UTF-8 when decoded": (GOOD_FORM + b"&x=%FF", 400, "UTF-8"),
    "NUL": (GOOD_FORM + b"&x=a%00b", 400, "NUL"),
    "NUL in a name": (GOOD_FORM + b"&params[a%00b]=x", 400, "NUL"),
    "surrogate": (GOOD_FORM + b"&x=%ED%A0%80", 400, "UTF-8"),
    "too many fields": (GOOD_FORM + b"&x=1" * 998, 400, "1000 fields"),
    "plain and brackets": (GOOD_FORM + b"&params=x&params[y]=z", 400, "brackets"),
    "brackets and plain": (GOOD_FORM + b"&params[y]=z&params=x", 400, "brackets"),
    "too large": (GOOD_FORM + b"&x=" + b"a" * 2**20, 413, "1 MiB"),
}
BAD_PARTS: dict[str, tuple[bytes, int, str]] = {
    "empty": (b"", 400, ""),
    "JSON": (good(), 400, "multipart"),
    "form": (GOOD_FORM, 400, "multipart"),
    "no end": (parts(*GOOD_PARTS)[:-8], 400, "multipart"),
    "other boundary": (parts(*GOOD_PARTS).replace(b"--part", b"--x"), 400, "multipart"),
    "file": (
        parts(*GOOD_PARTS, part(b"x", b"x", b'; filename="x.txt"')),
        400,
        "file",
    ),
    "no name": (
        parts(*GOOD_PARTS, b"Content-Disposition: form-data\r\n\r\nx"),
        400,
        "name",
    ),
    "name without an end": (parts(*GOOD_PARTS, part(b"x\\", b"x")), 400, "name"),
    "no disposition": (parts(*GOOD_PARTS, b"X: y\r\n\r\nx"), 400, "multipart"),
    "not UTF-8": (parts(*GOOD_PARTS, part(b"x", b"\xff")), 400, "UTF-8"),
    "NUL": (parts(*GOOD_PARTS, part(b"x", b"a\0b")), 400, "NUL"),
    "plain and brackets": (
        parts(*GOOD_PARTS, part(b"x", b"1"), part(b"x[y]", b"1")),
        400,
        "brackets",
    ),
    "too many fields": (parts(*GOOD_PARTS, *[part(b"x", b"1")] * 998), 413, "1000"),
    "too large": (parts(*GOOD_PARTS, part(b"x", b"a" * 2**20)), 413, "1 MiB"),
}
KINDS = ("JSON", JSON, BAD_JSON), ("form", FORM, BAD_FORMS), ("parts", PARTS, BAD_PARTS)
GRID = [
    pytest.param(content_types, *cell, id=f"{name}-{kind}")
    for name, content_types, bodies in KINDS
    for kind, cell in bodies.items()
]
OTHER_TYPES: list[tuple[str, bytes, int, str]] = [
    ("application/xml", good(), 415, "application/json"),
    ("text/html", GOOD_FORM, 415, "application/json"),
    ("application/octet-stream", good(), 415, "application/json"),
    ("json", good(), 415, "application/json"),
    ("application/json/x", good(), 415, "application/json"),
    ("text/vnd.shop+json", good(), 415, "application/json"),
    ("application/json; charset=utf-16", good(), 400, "UTF-8"),
    ("text/plain; charset=windows-1251", GOOD_FORM, 400, "UTF-8"),
    ("multipart/form-data", parts(*GOOD_PARTS), 400, "boundary"),
]


def rows(app: Flask) -> dict[str, list[Any]]:
    """Return all that the database holds."""
    with app.app_context(), db.engine.connect() as connection:
        return {
            table.name: list(connection.execute(select(table)))
            for table in Base.metadata.sorted_tables
        }


@pytest.fixture
def unchanged(app: Flask) -> Iterator[None]:
    """Fail a test that changes the database, be it the change tag alone."""
    before = rows(app)
    yield
    assert rows(app) == before


def headers_of(content_type: str | None) -> dict[str, str]:
    return {"Content-Type": content_type} if content_type else {}


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(("content_types", "body", "code", "word"), GRID)
def test_bad_body_is_refused_and_changes_nothing(
    client: FlaskClient,
    content_types: list[str | None],
    body: bytes,
    code: int,
    word: str,
) -> None:
    for content_type, (method, address) in product(content_types, WRITES):
        refused = client.open(
            address, method=method, data=body, headers=headers_of(content_type)
        )

        assert_error(refused, code)
        assert word in refused.get_json()["message"]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(("content_type", "body", "code", "word"), OTHER_TYPES)
def test_content_type_that_is_not_understood_is_refused(
    client: FlaskClient, content_type: str, body: bytes, code: int, word: str
) -> None:
    for method, address in WRITES:
        refused = client.open(
            address, method=method, data=body, headers=headers_of(content_type)
        )

        assert_error(refused, code)
        assert word in refused.get_json()["message"]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("content_type", FORM)
@pytest.mark.parametrize("body", [b"", b"&&", b"x=1", b"params"])
def test_form_without_a_field_that_counts_is_refused(
    client: FlaskClient, content_type: str | None, body: bytes
) -> None:
    for method, address in WRITES:
        refused = client.open(
            address, method=method, data=body, headers=headers_of(content_type)
        )

        assert_error(refused, 400)


@pytest.mark.usefixtures("unchanged")
def test_encoded_body_is_refused(client: FlaskClient) -> None:
    for method, address in WRITES:
        encoded = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
        refused = client.open(address, method=method, data=good(), headers=encoded)

        assert_error(refused, 415)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        *[(content_type, good(x=[1, {"y": None}])) for content_type in JSON],
        ("APPLICATION/JSON; Charset=UTF-8", good()),
        ('application/json; charset="utf-8"; x=y', b" \r\n" + good() + b"\n"),
        *[(content_type, GOOD_FORM) for content_type in FORM],
        ("text/plain; charset=utf8", b"description=x&" + GOOD_FORM + b"&x[y][z]=1"),
        ("application/x-www-form-urlencoded", GOOD_FORM + b"&x=1" * 997),
        *[(content_type, parts(*GOOD_PARTS)) for content_type in PARTS],
        (
            "multipart/form-data; boundary=part",
            parts(part(b"description", b"x"), *GOOD_PARTS),
        ),
    ],
)
def test_good_body_is_understood_whatever_its_type(
    client: FlaskClient, content_type: str | None, body: bytes
) -> None:
    codes = [
        client.open(
            address, method=method, data=body, headers=headers_of(content_type)
        ).status_code
        for method, address in WRITES
    ]
    addresses = ["/statuses/12", "/statuses/2", "/stores/1/statuses/2"]
    written = [client.get(f"/api/2.0{address}").get_json() for address in addresses]

    assert codes == [201, 200, 200]
    assert [{name: status[name] for name in GOOD} for status in written] == [GOOD] * 3


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"params": {"color": "#ffffff", "note": "A & B"}}'),
        ("text/plain", b"params[color]=%23ffffff&params[note]=A+%26+B"),
        ("text/plain", b"params%5Bcolor%5D=%23ffffff&params%5Bnote%5D=A%20%26%20B"),
        (
            PARTS[0],
            parts(part(b"params[color]", b"#ffffff"), part(b"params[note]", b"A & B")),
        ),
    ],
)
def test_params_are_nested_in_every_type(
    client: FlaskClient, content_type: str, body: bytes
) -> None:
    before = client.get("/api/2.0/statuses/2").get_json()["params"]
    client.put("/api/2.0/statuses/2", data=body, headers=headers_of(content_type))

    after = client.get("/api/2.0/statuses/2").get_json()["params"]
    assert after == before | {"color": "#ffffff", "note": "A & B"}


def test_body_of_a_mebibyte_is_taken_and_a_byte_more_is_not(
    client: FlaskClient,
) -> None:
    start = b"description=Packed&x="
    whole = start + b"a" * (2**20 - len(start))
    taken, refused = (
        client.post("/api/2.0/statuses", data=body, headers=headers_of("text/plain"))
        for body in (whole, whole + b"a")
    )

    assert taken.status_code == 201
    assert_error(refused, 413)


@pytest.mark.parametrize(("more", "code"), [(0, 201), (1, 413), (5000, 413)])
def test_limit_holds_for_chunked_bodies_too(
    client: FlaskClient, more: int, code: int
) -> None:
    start = b"description=Packed&x="
    body = BytesIO(start + b"a" * (2**20 - len(start) + more))
    response = client.post(
        "/api/2.0/statuses",
        input_stream=body,
        headers=headers_of("text/plain") | {"Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},  # as gunicorn says of it
    )

    assert response.status_code == code


def test_limit_of_the_body_leaves_the_applications_alone(
    app: Flask, client: FlaskClient
) -> None:
    client.post("/api/2.0/statuses", data=GOOD_FORM, headers=headers_of("text/plain"))

    assert app.config["MAX_CONTENT_LENGTH"] is None
