"""Whatever a body holds costs time in proportion to its length."""

import cProfile
import gc
import pstats
from collections.abc import Callable, Iterator
from contextlib import suppress
from time import process_time

import pytest
from flask import Flask
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException
from werkzeug.http import parse_options_header

from order_statuses import bodies, writing

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
PARTS = "multipart/form-data; boundary=part"
Make = Callable[[int], bytes]  # of a size


def repeated(unit: bytes, start: bytes = b"", end: bytes = b"") -> Make:
    """Return how to make a body of as many *unit* as fit."""
    given = len(start) + len(end)
    return lambda size: start + unit * ((size - given) // len(unit)) + end


def numbered(pattern: bytes, joint: bytes, start: bytes, end: bytes) -> Make:
    """Return how to make a body of 990 items, which are as long as fit."""

    def make(size: int) -> bytes:
        width = size // 990 - len(pattern) - len(joint) - 4
        items = (pattern % (n, b"x" * width) for n in range(990))
        return start + joint.join(items) + end

    return make


DEEP, END = b'{"y":' + b"[" * 900, b"]" * 900 + b"}"
HEADER = b'--part\r\nContent-Disposition: form-data; name="description"'
VALUE, LAST = b"\r\n\r\nPacked\r\n--part--\r\n", b"\r\n--part--\r\n"
PART = HEADER.replace(b"description", b"%d") + b"\r\n\r\n%s"
SHAPES: dict[str, tuple[str, Make]] = {
    "texts at a depth of 900": (JSON, repeated(b'"",', DEEP, b'""' + END)),
    "objects at a depth of 900": (JSON, repeated(b'{"":""},', DEEP, b"1" + END)),
    "too deep": (JSON, repeated(b'{"a":')),
    "numbers": (JSON, repeated(b"1,", b'{"y":[', b"1]}")),
    "digits": (JSON, repeated(b"0", b'{"params":{"a":1.', b"}}")),
    "more digits": (JSON, repeated(b"9", b'{"params":{"a":', b"}}")),
    "escapes": (JSON, repeated(b"\\u00e9", b'{"email_header":"', b'"}')),
    "params": (JSON, numbered(b'"%d":"%s"', b",", b'{"params":{', b"}}")),
    "keys": (JSON, numbered(b'"%d":"%s"', b",", b"{", b"}")),
    "line breaks": (JSON, repeated(b"\\n", b'{"email_subj":"', b'"}')),
    "white space": (JSON, repeated(b" ", b'{"description":"', b'"}')),
    "joiners": (JSON, repeated("\u200b".encode(), b'{"description":"', b'"}')),
    "percent-escapes": (FORM, repeated(b"%41", b"email_header=")),
    "brackets": (FORM, repeated(b"[", b"params", b"]=x")),
    "closing brackets": (FORM, repeated(b"]", b"params[", b"=x")),
    "fields": (FORM, repeated(b"&")),
    "white space before": (FORM, repeated(b" ", b"", b"a=b")),
    "options of a part": (PARTS, repeated(b'; a="b"', HEADER, VALUE)),
    "semicolons": (PARTS, repeated(b";", HEADER, VALUE)),
    "headers of a part": (PARTS, repeated(b"\r\nX: y", HEADER, VALUE)),
    "line breaks in a part": (PARTS, repeated(b"\r\n", HEADER + b"\r\n\r\n", LAST)),
    "almost boundaries": (PARTS, repeated(b"\r\n--par", HEADER + b"\r\n\r\n", LAST)),
    "parts": (PARTS, numbered(PART, b"\r\n", b"", LAST)),
}


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Do not collect garbage, which costs as much as the whole heap is large."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_time_of_a_body_is_in_proportion_to_its_length(app: Flask, shape: str) -> None:
    content_type, make = SHAPES[shape]

    def seconds(size: int) -> float:
        """Return the CPU time, which others cannot lengthen much."""
        content, started = make(size), process_time()
        with suppress(HTTPException, ValidationError):
            fields = bodies.decode(content, *parse_options_header(content_type))
            writing.changes_schema.load(fields)
        return process_time() - started

    def is_in_proportion() -> bool:
        # An eighth, since what is quadratic takes 64 times as long for the whole.
        part = min(seconds(2**17) for _ in range(3))
        return seconds(2**20) < 24 * part + 0.05

    # Again if it fails, since a busy machine may disturb one of the two alone.
    with app.app_context():
        assert any(is_in_proportion() for _ in range(4))


def test_depth_of_a_body_costs_nothing() -> None:
    def calls(depth: int) -> int:
        """Return how many functions are called for 2,000 texts at a depth."""
        texts = b"[" * depth + b'"",' * 2000 + b'""' + b"]" * depth
        with cProfile.Profile() as profile:
            bodies.decode(b'{"y":%s}' % texts, "application/json", {})
        return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]

    assert calls(900) < 2 * calls(1)
