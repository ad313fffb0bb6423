"""Strict decoders of request bodies; pure functions."""

import json
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import parse_qsl

from werkzeug.exceptions import BadRequest, RequestEntityTooLarge
from werkzeug.sansio.multipart import (
    Data,
    Epilogue,
    Field,
    File,
    MultipartDecoder,
    NeedData,
)

MAX_FIELDS = 1000
TOO_MANY = f"The body has more than {MAX_FIELDS} fields; send fewer."

Body = dict[str, Any]


def decode_json(content: bytes, options: dict[str, str]) -> Body:
    """Decode a JSON object.

    >>> decode_json(b'{"description": "Packed"}', {})
    {'description': 'Packed'}
    """
    try:
        body = json.loads(
            content.decode(),
            object_pairs_hook=distinct,
            parse_constant=finite,
            parse_float=finite,
        )
    except json.JSONDecodeError as error:
        reason = f"{error.msg} at line {error.lineno}, column {error.colno}"
        raise BadRequest(f"The body is not valid JSON: {reason}.") from error
    except UnicodeDecodeError:
        raise
    except ValueError as error:  # int() refuses thousands of digits
        raise BadRequest("A number in the body has too many digits.") from error
    if not isinstance(body, dict):
        raise BadRequest('Send a JSON object, such as {"description": "Packed"}.')
    return body


def distinct(pairs: list[tuple[str, Any]]) -> Body:
    """Make an object of *pairs*, refusing a key that comes twice."""
    if len(pairs) > MAX_FIELDS:
        raise BadRequest(TOO_MANY)
    body = dict(pairs)
    if len(body) < len(pairs):
        raise BadRequest("A JSON object in the body has a key twice; send it once.")
    return body


def finite(literal: str) -> float:
    """Parse a JSON number, refusing NaN and the infinities."""
    number = float(literal)
    if not math.isfinite(number):
        raise BadRequest(f"{literal[:20]} is not a number that JSON allows.")
    return number


def decode_form(content: bytes, options: dict[str, str]) -> Body:
    """Decode URL-encoded pairs, nesting those in brackets.

    >>> decode_form(b"description=Packed&params[color]=%23ffffff", {})
    {'description': 'Packed', 'params': {'color': '#ffffff'}}
    """
    text = content.decode()
    if text.lstrip().startswith("{"):
        raise BadRequest(
            "The body looks like JSON but was sent as a form; "
            "send Content-Type: application/json."
        )
    if text.count("&") >= MAX_FIELDS:
        raise BadRequest(TOO_MANY)
    return nest(parse_qsl(text, keep_blank_values=True, errors="strict"))


def decode_multipart(content: bytes, options: dict[str, str]) -> Body:
    """Decode form parts, nesting those in brackets; files are refused."""
    if not options.get("boundary"):
        raise BadRequest("The Content-Type multipart/form-data lacks its boundary.")
    try:
        return nest(parts(content, options["boundary"]))
    except RequestEntityTooLarge as error:
        raise RequestEntityTooLarge(TOO_MANY) from error
    except UnicodeDecodeError:
        raise
    except ValueError as error:
        raise BadRequest("The body is not valid multipart/form-data.") from error


def parts(content: bytes, boundary: str) -> list[tuple[str, str]]:
    """Split multipart *content*, as strictly as werkzeug's own form parser is lax."""
    decoder = MultipartDecoder(boundary.encode(), max_parts=MAX_FIELDS)
    decoder.receive_data(content)
    decoder.receive_data(None)
    pairs: list[tuple[str, bytes]] = []
    while not isinstance(event := decoder.next_event(), Epilogue):
        if isinstance(event, File):
            raise BadRequest(f"The part {event.name!r} is a file; send it as text.")
        if isinstance(event, Field):
            if event.name is None:  # for Werkzeug, also one whose quotes do not end
                raise BadRequest("A part of the body has no name; give it one.")
            pairs.append((event.name, b""))
        elif isinstance(event, Data):
            name, value = pairs.pop()
            pairs.append((name, value + event.data))
        elif isinstance(event, NeedData):
            raise ValueError("a part does not end")
    return [(name, value.decode()) for name, value in pairs]


def nest(pairs: Iterable[tuple[str, str]]) -> Body:
    """Put each ``name[key]`` below its name; the last of repeated names wins.

    >>> nest([("a", "1"), ("a", "2"), ("b[c]", "3")])
    {'a': '2', 'b': {'c': '3'}}
    """
    body: Body = {}
    for name, value in pairs:
        bracket = re.fullmatch(r"([^\[]+)\[(.*)\]", name, re.DOTALL)
        outer, plain = (bracket[1], False) if bracket else (name, True)
        if isinstance(body.setdefault(outer, value if plain else {}), str) != plain:
            raise BadRequest(f"{outer!r} is used both plain and with brackets.")
        if bracket:
            body[outer][bracket[2]] = value
        else:
            body[outer] = value
    return body


def check_strings(body: Body) -> None:
    """Refuse what no database stores as text.

    :raise 400: NUL or a lone surrogate, in a key or a value at any depth
    """
    for text in strings(body):
        if "\0" in text:
            raise BadRequest("The body has a NUL character; leave it out.")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            half = "The body has half of a surrogate pair; leave it out."
            raise BadRequest(half) from error


def strings(value: Any) -> Iterator[str]:
    """Yield every string in *value*, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
