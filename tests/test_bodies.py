"""Request bodies: every way to get one wrong, and every way to send a good one."""

import json
from io import BytesIO
from itertools import product
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from .statuses import STATUSES, assert_error

pytestmark = pytest.mark.one_database

STATUS = f"{STATUSES}/2"
IN_STORE = "/api/2.0/stores/1/statuses/2"
WRITES = [("POST", STATUSES), ("PUT", STATUS), ("PUT", IN_STORE)]
JSON = ["application/json", "text/json", "application/vnd.shop+json"]
FORM = ["application/x-www-form-urlencoded", "text/plain", None]
PARTS = ["multipart/form-data; boundary=part"]
MARK = b"\xef\xbb\xbf"  # a byte order mark, as Windows programs write it

# What is good but for the one thing that is wrong.
GOOD = {"description": "Упакован", "email_subj": "is packed", "email_header": "Packed."}
GOOD_FORM = "description=Упакован&email_subj=is+packed&email_header=Packed.".encode()


def good(**more: Any) -> bytes:
    return json.dumps(GOOD | more).encode()


def good_but(end: bytes) -> bytes:
    """Return good JSON with another *end*, which ``json.dumps`` would not write."""
    return good()[:-1] + b", " + end


def part(name: str, value: bytes, *headers: str, more: str = "") -> bytes:
    disposition = f'Content-Disposition: form-data; name="{name}"{more}'
    return "\r\n".join([disposition, *headers, "", ""]).encode() + value


def parts(*bodies: bytes) -> bytes:
    """Return a multipart body, of parts with their headers."""
    return b"".join(b"--part\r\n" + body + b"\r\n" for body in bodies) + b"--part--\r\n"


def good_parts(*more: bytes, headers: tuple[str, ...] = ()) -> bytes:
    fields = [part(name, text.encode(), *headers) for name, text in GOOD.items()]
    return parts(*fields, *more)


def encoded_as(encoding: str) -> bytes:
    return part("x", b"eA==", f"Content-Transfer-Encoding: {encoding}")


# kind of body: what is sent, and a word of the message
BAD_JSON: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not valid JSON"),
    "broken": (b'{"description": "Packed"', "not valid JSON"),
    "trailing comma": (b'{"description": "Packed",}', "not valid JSON"),
    "form": (GOOD_FORM, "not valid JSON"),
    "two objects": (good() + good(), "not valid JSON"),
    "two byte order marks": (MARK + MARK + good(), "not valid JSON"),
    "array": (b"[1]", "JSON object"),
    "array of a good one": (b"[" + good() + b"]", "JSON object"),
    "string": (b'"description"', "JSON object"),
    "number": (b"1", "JSON object"),
    "null": (b"null", "JSON object"),
    "NaN": (good_but(b'"params": {"x": NaN}}'), "NaN"),
    "infinity": (good_but(b'"params": {"x": -Infinity}}'), "-Infinity"),
    "too large a number": (good_but(b'"x": 1e999}'), "1e999 is not a finite"),
    "too small a number": (good_but(b'"x": {"y": [-1e999]}}'), "-1e999"),
    "too large an exponent": (good_but(b'"x": 1e9999999999999999999}'), "1e9999999"),
    "too many digits": (good_but(b'"x": %s}' % (b"1" * 5000)), "too large"),
    "not UTF-8": (good_but(b'"x": "\xff"}'), "UTF-8"),
    "UTF-16": (good().decode().encode("utf-16"), "UTF-8"),
    "NUL": (good(x="a\0b"), "NUL"),
    "NUL in a key": (good(**{"\0": ""}), "NUL"),
    "NUL in an inner key": (good(params={"a\0b": "x"}), "NUL"),
    "lone surrogate": (good(x=["\ud800"]), "surrogate"),
    "lone surrogate in a key": (good(x=[{"\udfff": 1}]), "surrogate"),
    "key twice": (good_but(b'"description": "x"}'), "twice"),
    "inner key twice": (good_but(b'"x": {"a": 1, "a": 2}}'), "twice"),
    "too many fields": (good(**{f"x{n}": 1 for n in range(998)}), "1000 fields"),
    "too deep an object": (b'{"x":' * 50000 + b"1" + b"}" * 50000, "deep"),
    "too deep an array": (b"[" * 100_000, "deep"),
}
BAD_FORMS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", ""),
    "no names": (b"&&", ""),
    "unknown fields alone": (b"x=1&[[=a", ""),
    "params without a name": (b"params", ""),
    "JSON": (good(), "send Content-Type: application/json"),
    "JSON after white space": (b"\r\n " + good(), "application/json"),
    "not UTF-8": (GOOD_FORM + b"&x=\xff", "UTF-8"),
    "not UTF-8 when decoded": (GOOD_FORM + b"&x=%FF", "UTF-8"),
    "surrogate": (GOOD_FORM + b"&x=%ED%A0%80", "UTF-8"),
    "NUL": (GOOD_FORM + b"&x=a%00b", "NUL"),
    "NUL in a name": (GOOD_FORM + b"&params[a%00b]=x", "NUL"),
    "too many fields": (GOOD_FORM + b"&x=1" * 998, "1000 fields"),
    "too many without a name": (b"&" * 100_000, "1000 fields"),
    "plain and brackets": (GOOD_FORM + b"&params=x&params[y]=z", "brackets"),
    "brackets and plain": (GOOD_FORM + b"&params[y]=z&params=x", "brackets"),
    "other charset": (GOOD_FORM + b"&_charset_=windows-1251", "charset"),
    "two charsets": (b"_charset_=latin1&_charset_=utf-8&" + GOOD_FORM, "charset"),
}
BAD_PARTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", ""),
    "JSON": (good(), "multipart"),
    "form": (GOOD_FORM, "multipart"),
    "no end": (good_parts()[:-8], "multipart"),
    "other boundary": (good_parts().replace(b"--part", b"--x"), "multipart"),
    "file": (good_parts(part("x", b"x", more='; filename="x.txt"')), "file"),
    "no name": (good_parts(b"Content-Disposition: form-data\r\n\r\nx"), "name"),
    "name without an end": (good_parts(part("x\\", b"x")), "name"),
    "no disposition": (good_parts(b"X: y\r\n\r\nx"), "multipart"),
    # Werkzeug 3.1.0 to 3.1.6 parses them in quadratic time.
    "long headers": (
        good_parts(part("x", b"x", more='; a="b"' * 1200)),
        "too long headers",
    ),
    "not UTF-8": (good_parts(part("x", b"\xff")), "UTF-8"),
    "NUL": (good_parts(part("x", b"a\0b")), "NUL"),
    "plain and brackets": (good_parts(part("x", b"1"), part("x[y]", b"1")), "brackets"),
    "Base64": (good_parts(encoded_as("base64")), "encoded"),
    "quoted-printable": (good_parts(encoded_as("Quoted-Printable")), "encoded"),
    "two encodings": (
        good_parts(encoded_as("8bit\r\nContent-Transfer-Encoding: base64")),
        "encoded",
    ),
    "other charset of a part": (
        good_parts(part("x", b"x", 'Content-Type: text/plain; a=b; Charset="utf-16"')),
        "charset",
    ),
    "other charset of all": (good_parts(part("_charset_", b"koi8-r")), "charset"),
}
KINDS = ("JSON", JSON, BAD_JSON), ("form", FORM, BAD_FORMS), ("parts", PARTS, BAD_PARTS)
BAD = [
    pytest.param(content_types, *cell, 400, id=f"{name}-{kind}")
    for name, content_types, bad in KINDS
    for kind, cell in bad.items()
]
OTHER_TYPES: list[tuple[list[str], bytes, str, int]] = [
    (["application/xml", "application/octet-stream"], good(), "application/json", 415),
    (["json", "application/json/x"], good(), "application/json", 415),
    (["text/vnd.shop+json"], good(), "application/json", 415),
    (["text/html"], GOOD_FORM, "application/json", 415),
    (["application/json; charset=utf-16"], good(), "UTF-8", 400),
    (["text/plain; charset=windows-1251"], GOOD_FORM, "UTF-8", 400),
    (["multipart/form-data"], good_parts(), "boundary", 400),
    (PARTS, good_parts(*[part("x", b"1")] * 998), "1000", 413),
]


def headers_of(content_type: str | None) -> dict[str, str]:
    return {"Content-Type": content_type} if content_type else {}


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("content_types", "body", "word", "code"), [*BAD, *OTHER_TYPES]
)
def test_bad_body_is_refused_and_changes_nothing(
    client: FlaskClient,
    content_types: list[str | None],
    body: bytes,
    word: str,
    code: int,
) -> None:
    for content_type, (method, address) in product(content_types, WRITES):
        refused = client.open(
            address, method=method, data=body, headers=headers_of(content_type)
        )

        assert_error(refused, code)
        assert word in refused.get_json()["message"]


@pytest.mark.usefixtures("unchanged")
def test_compressed_body_is_refused(client: FlaskClient) -> None:
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    for method, address in WRITES:
        refused = client.open(address, method=method, data=good(), headers=headers)

        assert_error(refused, 415)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        *[(content_type, good(x=[1, {"y": None}])) for content_type in JSON],
        ("APPLICATION/JSON; Charset=UTF-8", good()),
        ('application/json; charset="utf-8"; x=y', b" \r\n" + good() + b"\n"),
        *[(content_type, GOOD_FORM) for content_type in FORM],
        ("text/plain; charset=utf8", b"description=x&" + GOOD_FORM + b"&x[y][z]=1"),
        (FORM[0], GOOD_FORM + b"&x=1" * 997),
        (FORM[0], GOOD_FORM + b"&_charset_=UTF-8"),
        (PARTS[0], parts(part("description", b"x"))[:-10] + good_parts()),
        *[
            (PARTS[0], good_parts(headers=(f"Content-Transfer-Encoding: {encoding}",)))
            for encoding in ("7bit", "8BIT", "binary")
        ],
        *[
            (PARTS[0], good_parts(headers=(f"Content-Type: text/plain{charset}",)))
            for charset in ("", "; charset=UTF-8", '; charset="utf8"')
        ],
        (JSON[0], MARK + good()),
        *[(content_type, MARK + GOOD_FORM) for content_type in FORM],
        (PARTS[0], MARK + good_parts()),
    ],
)
def test_good_body_is_understood_whatever_its_type(
    client: FlaskClient, content_type: str | None, body: bytes
) -> None:
    written = [
        client.open(address, method=method, data=body, headers=headers_of(content_type))
        for method, address in WRITES
    ]
    shown = [client.get(a).get_json() for a in (f"{STATUSES}/12", STATUS, IN_STORE)]

    assert [response.status_code for response in written] == [201, 200, 200]
    assert all(r.get_json().get("ignored", ["x"]) == ["x"] for r in written)
    assert [{name: status[name] for name in GOOD} for status in shown] == [GOOD] * 3


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"params": {"color": "#ffffff", "note": "A & B"}}'),
        ("text/plain", b"params[color]=%23ffffff&params[note]=A+%26+B"),
        ("text/plain", b"params%5Bcolor%5D=%23ffffff&params%5Bnote%5D=A%20%26%20B"),
        (
            PARTS[0],
            parts(part("params[color]", b"#ffffff"), part("params[note]", b"A & B")),
        ),
    ],
)
def test_params_are_nested_in_every_type(
    client: FlaskClient, content_type: str, body: bytes
) -> None:
    before = client.get(STATUS).get_json()["params"]
    client.put(STATUS, data=body, headers=headers_of(content_type))

    after = client.get(STATUS).get_json()["params"]
    assert after == before | {"color": "#ffffff", "note": "A & B"}


def test_status_that_is_sent_back_has_nothing_to_ignore(client: FlaskClient) -> None:
    for method, address in WRITES:
        shown = client.get(STATUS).get_json() | {"position": "0"}
        response = client.open(address, method=method, json=shown)

        assert len(shown) == 10
        assert "ignored" not in response.get_json()


def test_what_is_ignored_is_said(client: FlaskClient) -> None:
    sent = GOOD | {"email_subject": "typo", "x" * 65: [], "": 1}
    for method, address in WRITES:
        response = client.open(address, method=method, json=sent)

        ignored = response.get_json()["ignored"]
        assert set(ignored) == {"email_subject", "x" * 64, ""}
    many = client.put(STATUS, json=GOOD | {str(n): n for n in range(99)})
    assert len(many.get_json()["ignored"]) == 10


def test_names_in_brackets_are_ignored_as_one(client: FlaskClient) -> None:
    response = client.put(STATUS, data=GOOD_FORM + b"&a[b]=1&a[c]=2&d[=")

    assert response.get_json() == {"status_id": "2", "ignored": ["a", "d["]}


@pytest.mark.parametrize("content_type", ["application/json", "application/xml", "?"])
def test_get_and_delete_have_no_body_to_parse(
    client: FlaskClient, content_type: str
) -> None:
    headers = {"Content-Type": content_type}

    got = client.get(STATUS, headers=headers, data=b"\xff{")
    deleted = client.delete(f"{STATUSES}/3", headers=headers)

    assert (got.status_code, deleted.status_code) == (200, 204)


# How a body arrives.

# How gunicorn hands a chunked body over.
CHUNKED = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}


@pytest.mark.parametrize(
    ("more", "code"), [(0, 200), (1, 413), (5000, 413), (10**7, 413)]
)
@pytest.mark.parametrize("environ", [{}, {"wsgi.input_terminated": True}, CHUNKED])
def test_body_is_at_most_a_mebibyte(
    app: Flask, client: FlaskClient, environ: dict[str, Any], more: int, code: int
) -> None:
    body = b"email_subj=&x=".ljust(2**20 + more, b"x")
    response = client.put(STATUS, input_stream=BytesIO(body), environ_overrides=environ)

    assert response.status_code == code
    assert code == 200 or "larger than 1 MiB" in response.get_json()["message"]
    assert app.config["MAX_CONTENT_LENGTH"] is None  # the application's own limit


CUT: dict[str, Any] = {"CONTENT_LENGTH": "100"}
TERMINATED = {"wsgi.input_terminated": True}


class Broken(BytesIO):
    def readinto(self, buffer: object) -> int:
        raise ArithmeticError("gunicorn's own InvalidChunkSize is no OSError")


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "request_",
    [
        # gunicorn ends such a body as if it were whole, other servers raise.
        {"data": b"description=Te", "environ_overrides": CUT},
        {"data": b"description=Te", "environ_overrides": CUT | TERMINATED},
        {"input_stream": Broken(), "environ_overrides": CHUNKED},
    ],
)
def test_body_that_does_not_arrive_whole_is_refused(
    client: FlaskClient, request_: dict[str, Any]
) -> None:
    refused = client.put(STATUS, **request_)

    assert_error(refused, 400)
    assert "did not arrive whole" in refused.get_json()["message"]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("encoding", ["chunked", "Chunked", "gzip, chunked"])
def test_chunked_body_that_the_server_does_not_hand_over_is_411(
    client: FlaskClient, encoding: str
) -> None:
    as_uwsgi_has_it = {"HTTP_TRANSFER_ENCODING": encoding, "CONTENT_LENGTH": ""}

    refused = client.put(
        STATUS, data="description=x", environ_overrides=as_uwsgi_has_it
    )

    assert_error(refused, 411)
    assert "Content-Length" in refused.get_json()["message"]
