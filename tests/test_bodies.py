"""Request bodies: every way to get one wrong, and every way to send a good one."""

import cProfile
import json
import pstats
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from itertools import product
from time import process_time
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from marshmallow import ValidationError
from sqlalchemy import select
from werkzeug.exceptions import HTTPException
from werkzeug.http import parse_options_header

from order_statuses import bodies, writing
from order_statuses.database import db
from order_statuses.models import Base

from .test_addresses import assert_error

pytestmark = pytest.mark.one_database

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
    "too many digits": (
        good()[:-1] + b', "x": ' + b"1" * 5000 + b"}",
        400,
        "too large",
    ),
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
    # Werkzeug 3.1.0 to 3.1.6 parses them in quadratic time.
    "long headers": (
        parts(*GOOD_PARTS, part(b"x", b"x", b'; a="b"' * 1200)),
        400,
        "too long headers",
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


# Sent as meant, or refused; never changed in silence.

MARK = b"\xef\xbb\xbf"  # a byte order mark, as Windows programs write it


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", MARK + good()),
        ("text/plain", MARK + GOOD_FORM),
        (None, MARK + GOOD_FORM),
        (PARTS[0], MARK + parts(*GOOD_PARTS)),
    ],
)
def test_byte_order_mark_is_dropped(
    client: FlaskClient, content_type: str | None, body: bytes
) -> None:
    for method, address in WRITES:
        response = client.open(
            address, method=method, data=body, headers=headers_of(content_type)
        )

        assert response.status_code in {200, 201}
        assert "ignored" not in response.get_json()
        store = address.partition("/statuses")[0]
        written = response.get_json()["status_id"]
        status = client.get(f"{store}/statuses/{written}").get_json()
        assert status["email_subj"] == GOOD["email_subj"]


def with_header(header: bytes, value: bytes = b"Packed") -> bytes:
    return part(b"description", value).replace(b"\r\n", b"\r\n" + header + b"\r\n", 1)


@pytest.mark.parametrize("encoding", ["7bit", "8BIT", "binary"])
@pytest.mark.parametrize("charset", ["", "; charset=UTF-8", '; charset="utf8"'])
def test_part_may_say_that_it_is_plain(
    client: FlaskClient, encoding: str, charset: str
) -> None:
    header = f"Content-Transfer-Encoding: {encoding}\r\nContent-Type: text/plain"
    body = parts(with_header(header.encode() + charset.encode(), "Упакован".encode()))
    client.put("/api/2.0/statuses/2", data=body, headers=headers_of(PARTS[0]))

    status = client.get("/api/2.0/statuses/2").get_json()
    assert status["description"] == "Упакован"


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("content_type", "body", "word"),
    [
        (PARTS[0], parts(with_header(header, value)), word)
        for header, value, word in (
            (b"Content-Transfer-Encoding: base64", b"U2hpcHBlZA==", "encoded"),
            (b"Content-Transfer-Encoding: Quoted-Printable", b"Exp=C3=A9", "encoded"),
            (
                b"Content-Transfer-Encoding: 8bit\r\nContent-Transfer-Encoding: base64",
                b"U2hpcHBlZA==",
                "encoded",
            ),
            (b"Content-Type: text/plain; charset=windows-1251", b"x", "charset"),
            (b'Content-Type: text/plain; a=b; Charset="utf-16"', b"x", "charset"),
        )
    ]
    + [
        (PARTS[0], parts(*GOOD_PARTS, part(b"_charset_", b"koi8-r")), "charset"),
        ("text/plain", GOOD_FORM + b"&_charset_=windows-1251", "charset"),
        ("text/plain", b"_charset_=latin1&_charset_=utf-8&" + GOOD_FORM, "charset"),
    ],
)
def test_declared_encoding_is_not_ignored(
    client: FlaskClient, content_type: str, body: bytes, word: str
) -> None:
    for method, address in WRITES:
        refused = client.open(
            address, method=method, data=body, headers=headers_of(content_type)
        )

        assert_error(refused, 400)
        assert word in refused.get_json()["message"]


def test_form_may_say_that_it_is_utf8(client: FlaskClient) -> None:
    response = client.put("/api/2.0/statuses/2", data=GOOD_FORM + b"&_charset_=UTF-8")

    assert response.get_json() == {"status_id": "2"}


@pytest.mark.parametrize(
    "literal",
    [
        *("0", "-0", "5", "5.0", "1.10", "1E5", "0.0000001", "1e-9999999999999999999"),
        "12345678901234567890.12",
        "9" * 255,
    ],
)
def test_number_keeps_its_digits(client: FlaskClient, literal: str) -> None:
    body = b'{"params": {"n": %s}}' % literal.encode()
    client.put("/api/2.0/statuses/2", data=body, content_type="application/json")

    params = client.get("/api/2.0/statuses/2").get_json()["params"]
    assert params["n"] == literal


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("literal", ["5", "1.10", "-0"])
@pytest.mark.parametrize("name", ["description", "email_subj", "email_header"])
def test_number_is_no_text(client: FlaskClient, name: str, literal: str) -> None:
    body = good(**{name: "NUMBER"}).replace(b'"NUMBER"', literal.encode())
    refused = client.put(
        "/api/2.0/statuses/2", data=body, content_type="application/json"
    )

    assert_error(refused, 400)
    assert list(refused.get_json()["errors"]) == [name]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("literal", [b"1e999", b"-1e999", b"1e9999999999999999999"])
def test_number_that_no_float_holds_is_refused(
    client: FlaskClient, literal: bytes
) -> None:
    for method, address in WRITES:
        body = good()[:-1] + b', "x": {"y": [%s]}}' % literal
        refused = client.open(
            address, method=method, data=body, content_type="application/json"
        )

        assert_error(refused, 400)
        assert literal.decode()[:20] in refused.get_json()["message"]


def test_empty_array_of_php_is_an_empty_object(client: FlaskClient) -> None:
    created = client.post("/api/2.0/statuses", json={"description": "A", "params": []})
    before = client.get("/api/2.0/statuses/2").get_json()
    changes = {"description": "B", "params": []}
    client.put("/api/2.0/statuses/2", json=changes)

    new = client.get(created.headers["Location"]).get_json()
    assert new["params"] == {}
    after = client.get("/api/2.0/statuses/2").get_json()
    assert after == before | {"description": "B"}


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("name", ["email_subj", "email_header"])
def test_null_for_a_text_says_what_to_do(client: FlaskClient, name: str) -> None:
    refused = client.put("/api/2.0/statuses/2", json=GOOD | {name: None})

    assert_error(refused, 400)
    advice = 'leave the field out to keep it, or send "" to empty it'
    assert advice in refused.get_json()["errors"][name][0]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "name", ["description", "is_default", "lang_code", "params", "type"]
)
def test_null_says_to_leave_the_field_out(client: FlaskClient, name: str) -> None:
    refused = client.post("/api/2.0/statuses", json=GOOD | {name: None})

    assert_error(refused, 400)
    assert "leave the field out" in refused.get_json()["errors"][name][0]


KNOWN = "status_id status type is_default description email_subj email_header".split()
KNOWN += ["lang_code", "position", "params"]


def test_what_is_ignored_is_said(client: FlaskClient) -> None:
    sent = GOOD | {"email_subject": "typo", "x" * 65: [], "": 1}
    for method, address in WRITES:
        response = client.open(address, method=method, json=sent)

        ignored = response.get_json()["ignored"]
        assert set(ignored) == {"email_subject", "x" * 64, ""}
    many = client.put("/api/2.0/statuses/2", json=GOOD | {str(n): n for n in range(99)})
    assert len(many.get_json()["ignored"]) == 10


def test_names_in_brackets_are_ignored_as_one(client: FlaskClient) -> None:
    response = client.put("/api/2.0/statuses/2", data=GOOD_FORM + b"&a[b]=1&a[c]=2&d[=")

    assert response.get_json() == {"status_id": "2", "ignored": ["a", "d["]}


def test_status_that_is_sent_back_has_nothing_to_ignore(client: FlaskClient) -> None:
    for method, address in WRITES:
        shown = client.get("/api/2.0/statuses/2").get_json() | {"position": "0"}
        response = client.open(address, method=method, json=shown)

        assert shown.keys() >= set(KNOWN)
        assert "ignored" not in response.get_json()


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("character", ["\x1b", "\x7f", "\x9b", "\x01", "\t", "\x85"])
@pytest.mark.parametrize("name", ["description", "email_subj"])
def test_control_characters_are_refused(
    client: FlaskClient, name: str, character: str
) -> None:
    refused = client.put("/api/2.0/statuses/2", json={name: f"a{character}b"})

    assert_error(refused, 400)
    assert list(refused.get_json()["errors"]) == [name]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "name", ["\u200b", "\u200d \u2060", "\u00ad", "\ufeff", "\u2028"]
)
def test_name_that_nobody_can_see_is_refused(client: FlaskClient, name: str) -> None:
    refused = client.put("/api/2.0/statuses/2", json={"description": name})

    assert_error(refused, 400)
    assert list(refused.get_json()["errors"]) == ["description"]


@pytest.mark.parametrize(
    "name",
    [
        "می\u200cشود",  # Persian, with a joiner
        "\U0001f469\u200d\U0001f680",  # an emoji of two
        "\U0001fae9",  # one that an older Python does not know
        "\u0378",  # not assigned
        "\ue000",  # for private use
    ],
)
def test_letters_that_need_joiners_pass(client: FlaskClient, name: str) -> None:
    client.put("/api/2.0/statuses/2", json={"description": name, "email_subj": name})

    status = client.get("/api/2.0/statuses/2").get_json()
    assert (status["description"], status["email_subj"]) == (name, name)


# Whatever a body holds costs time in proportion to its length.


def fitting(unit: bytes, size: int, start: bytes = b"", end: bytes = b"") -> bytes:
    return start + unit * ((size - len(start) - len(end)) // len(unit)) + end


def numbered(pattern: bytes, size: int, number: int) -> bytes:
    """Return *number* items of a length that makes them *size* in all."""
    width = size // number - len(pattern) - 4
    return b",".join(pattern % (n, b"x" * width) for n in range(number))


HEADER = b'--part\r\nContent-Disposition: form-data; name="description"'
VALUE = b"\r\n\r\nPacked\r\n--part--\r\n"
SHAPES: dict[str, tuple[str | None, Any]] = {
    "texts at a depth of 900": (
        JSON[0],
        lambda n: fitting(b'"",', n, b'{"y":' + b"[" * 900, b'""' + b"]" * 900 + b"}"),
    ),
    "objects at a depth of 900": (
        JSON[0],
        lambda n: fitting(
            b'{"":""},', n, b'{"y":' + b"[" * 900, b"1" + b"]" * 900 + b"}"
        ),
    ),
    "too deep": (JSON[0], lambda n: fitting(b'{"a":', n)),
    "numbers": (JSON[0], lambda n: fitting(b"1,", n, b'{"y":[', b"1]}")),
    "digits": (JSON[0], lambda n: fitting(b"0", n, b'{"params":{"a":1.', b"}}")),
    "more digits": (JSON[0], lambda n: fitting(b"9", n, b'{"params":{"a":', b"}}")),
    "escapes": (JSON[0], lambda n: fitting(b"\\u00e9", n, b'{"email_header":"', b'"}')),
    "params": (
        JSON[0],
        lambda n: b'{"params":{%s}}' % numbered(b'"%d":"%s"', n - 13, 990),
    ),
    "keys": (JSON[0], lambda n: b"{%s}" % numbered(b'"%d":"%s"', n - 2, 990)),
    "line breaks": (JSON[0], lambda n: fitting(b"\\n", n, b'{"email_subj":"', b'"}')),
    "white space": (JSON[0], lambda n: fitting(b" ", n, b'{"description":"', b'"}')),
    "joiners": (
        JSON[0],
        lambda n: fitting("\u200b".encode(), n, b'{"description":"', b'"}'),
    ),
    "percent-escapes": (FORM[0], lambda n: fitting(b"%41", n, b"email_header=")),
    "brackets": (FORM[0], lambda n: fitting(b"[", n, b"params", b"]=x")),
    "closing brackets": (FORM[0], lambda n: fitting(b"]", n, b"params[", b"=x")),
    "fields": (FORM[0], lambda n: fitting(b"&", n)),
    "white space before": (FORM[0], lambda n: fitting(b" ", n, b"", b"a=b")),
    "options of a part": (PARTS[0], lambda n: fitting(b'; a="b"', n, HEADER, VALUE)),
    "semicolons": (PARTS[0], lambda n: fitting(b";", n, HEADER, VALUE)),
    "headers of a part": (PARTS[0], lambda n: fitting(b"\r\nX: y", n, HEADER, VALUE)),
    "line breaks in a part": (
        PARTS[0],
        lambda n: fitting(b"\r\n", n, HEADER + b"\r\n\r\n", b"\r\n--part--\r\n"),
    ),
    "almost boundaries": (
        PARTS[0],
        lambda n: fitting(b"\r\n--par", n, HEADER + b"\r\n\r\n", b"\r\n--part--\r\n"),
    ),
    "parts": (
        PARTS[0],
        lambda n: (
            b"".join(
                parts(part(b"a", b"x" * (n // 900 - 60)))[:-10] for _ in range(900)
            )
            + b"--part--\r\n"
        ),
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_time_of_a_body_is_in_proportion_to_its_length(app: Flask, shape: str) -> None:
    content_type, make = SHAPES[shape]
    load = writing.changes_schema.load

    def seconds(size: int) -> float:
        """Return the least CPU time of three tries, which others cannot lengthen."""
        content, times = make(size), []
        for _ in range(3):
            started = process_time()
            with suppress(HTTPException, ValidationError):
                load(bodies.decode(content, *parse_options_header(content_type or "")))
            times.append(process_time() - started)
        return min(times)

    def is_in_proportion() -> bool:
        # An eighth, since what is quadratic takes 64 times as long for the whole.
        part_, whole = seconds(2**17), seconds(2**20)
        return whole < 24 * part_ + 0.05

    # Again if it fails, since a busy machine may disturb one of the two alone.
    with app.app_context():
        assert any(is_in_proportion() for _ in range(4))


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_depth_of_a_body_costs_nothing(app: Flask) -> None:
    def calls(depth: int) -> int:
        """Return how many functions are called for 2,000 texts at a depth."""
        texts = b"[" * depth + b'"",' * 2000 + b'""' + b"]" * depth
        with cProfile.Profile() as profile:
            bodies.decode(b'{"y":%s}' % texts, "application/json", {})
        return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]

    assert calls(900) < 2 * calls(1)
