"""Request bodies: read once, decoded strictly by their Content-Type."""

import json
import math
import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl

from flask import Request
from werkzeug.exceptions import (
    BadRequest,
    LengthRequired,
    RequestEntityTooLarge,
    UnsupportedMediaType,
)
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import (
    Data,
    Epilogue,
    Field,
    File,
    MultipartDecoder,
    NeedData,
)

from .schemas import Number

MAX_BYTES = 1024 * 1024
MAX_FIELDS = 1000
MAX_PART_HEADERS = 8 * 1024
TOO_LARGE = "The body is larger than 1 MiB; send a shorter one."
TOO_MANY = f"The body has more than {MAX_FIELDS} fields; send fewer."
NOT_UTF8 = "The body is not UTF-8; encode it as UTF-8."
NO_LENGTH = "This server takes no body in chunks; send its Content-Length."
CUT_SHORT = "The body did not arrive whole; send it again."

Fields = dict[str, Any]
Decoder = Callable[[bytes, dict[str, str]], Fields]


def read(request: Request) -> Fields:
    """Read the whole body, and decode it by its Content-Type.

    :raise 411: it comes in chunks, and the WSGI server does not decode them
    :raise 413: larger than 1 MiB, or too many form parts
    :raise 415: a Content-Type or Content-Encoding that is not understood
    :raise 400: it did not arrive whole, or as for *decode*
    """
    content = receive(request)
    if request.headers.get("Content-Encoding", "").lower() not in {"", "identity"}:
        raise UnsupportedMediaType("Send the body without a Content-Encoding.")
    content_type = request.headers.get("Content-Type", "")
    return decode(content, *parse_options_header(content_type))


def decode(
    content: bytes,
    media_type: str,
    options: dict[str, str],
    max_fields: float = MAX_FIELDS,
) -> Fields:
    """Decode *content* by its media type and the parameters of that, in linear time.

    *max_fields* is for JSON: forms never have more than MAX_FIELDS.

    :raise 415: the media type is not understood
    :raise 400: not what its media type says, or with text that cannot be stored
    """
    decoder = find_decoder(media_type.lower())
    check_charset(options.get("charset", ""))
    try:
        # Windows programs begin a text with a byte order mark.
        fields = decoder(content.removeprefix(BOM_UTF8), options)
    except UnicodeDecodeError as error:
        raise BadRequest(NOT_UTF8) from error
    except RecursionError as error:
        raise BadRequest("The body is nested too deeply.") from error
    check_values(fields, max_fields)
    return fields


def check_charset(name: str) -> None:
    """Refuse a charset other than UTF-8; an empty name declares none."""
    if name.strip().lower() not in {"", "utf-8", "utf8"}:
        raise BadRequest("The charset is not UTF-8; encode the body as UTF-8.")


def receive(request: Request) -> bytes:
    # Under uWSGI, Werkzeug would take a chunked body for an empty one.
    terminated = request.environ.get("wsgi.input_terminated")
    encoding = request.headers.get("Transfer-Encoding", "")
    if "chunked" in encoding.lower() and not terminated:
        raise LengthRequired(NO_LENGTH)
    # Werkzeug cuts a chunked body off at the limit: a byte more shows that it was cut.
    request.max_content_length = MAX_BYTES + 1
    try:
        content = request.get_data()
    except RequestEntityTooLarge as error:
        raise RequestEntityTooLarge(TOO_LARGE) from error
    except Exception as error:  # each server has its own for a broken body
        raise BadRequest(CUT_SHORT) from error
    if len(content) > MAX_BYTES:
        raise RequestEntityTooLarge(TOO_LARGE)
    # gunicorn takes a closed connection for the end of the body.
    if len(content) < (request.content_length or 0):
        raise BadRequest(CUT_SHORT)
    return content


def decode_json(content: bytes, options: dict[str, str]) -> Fields:
    """Decode a JSON object.

    >>> decode_json(b'{"description": "Packed"}', {})
    {'description': 'Packed'}
    """
    try:
        body = json.loads(
            content.decode(),
            object_pairs_hook=distinct,
            parse_int=number,
            parse_float=number,
            parse_constant=number,
        )
    except json.JSONDecodeError as error:
        reason = f"{error.msg} at line {error.lineno}, column {error.colno}"
        raise BadRequest(f"The body is not valid JSON: {reason}.") from error
    if not isinstance(body, dict):
        raise BadRequest('Send a JSON object, such as {"description": "Packed"}.')
    return body


def distinct(pairs: list[tuple[str, Any]]) -> Fields:
    """Make an object of *pairs*, refusing a key that comes twice."""
    body = dict(pairs)
    if len(body) < len(pairs):
        raise BadRequest("A JSON object in the body has a key twice; send it once.")
    return body


def number(literal: str) -> Number:
    """Return a JSON number as it is written; refuse NaN and what is too large."""
    if not math.isfinite(float(literal)):
        raise BadRequest(f"{literal[:20]} is not a finite number, or is too large.")
    return Number(literal)


def decode_form(content: bytes, options: dict[str, str]) -> Fields:
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


def decode_multipart(content: bytes, options: dict[str, str]) -> Fields:
    """Decode form parts, nesting those in brackets; files are refused."""
    if not options.get("boundary"):
        raise BadRequest("The Content-Type multipart/form-data lacks its boundary.")
    try:
        return nest(multipart_pairs(content, options["boundary"]))
    except RequestEntityTooLarge as error:
        raise RequestEntityTooLarge(TOO_MANY) from error
    except UnicodeDecodeError:
        raise
    except ValueError as error:
        raise BadRequest("The body is not valid multipart/form-data.") from error


def multipart_pairs(content: bytes, boundary: str) -> list[tuple[str, str]]:
    """Split multipart *content* into names and values.

    Stricter than Werkzeug's parser: a part that is cut off is an error.
    """
    check_part_headers(content, boundary.encode())
    decoder = MultipartDecoder(boundary.encode(), max_parts=MAX_FIELDS)
    decoder.receive_data(content)
    decoder.receive_data(None)
    pairs: list[tuple[str, bytes]] = []
    while not isinstance(event := decoder.next_event(), Epilogue):
        if isinstance(event, File):
            raise BadRequest(f"The part {event.name!r} is a file; send it as text.")
        if isinstance(event, Field):
            if event.name is None:  # None too if its quotes are not closed
                raise BadRequest("A part of the body has no name; give it one.")
            check_part(event)
            pairs.append((event.name, b""))
        elif isinstance(event, Data):
            name, value = pairs.pop()
            pairs.append((name, value + event.data))
        elif isinstance(event, NeedData):
            raise ValueError("a part does not end")
    return [(name, value.decode()) for name, value in pairs]


def check_part_headers(content: bytes, boundary: bytes) -> None:
    """Refuse long headers of parts, which older Werkzeug parses in quadratic time."""
    for part in re.split(rb"(?:^|[\r\n])--" + re.escape(boundary), content)[1:]:
        head = re.split(rb"\r\n\r\n|\r\r|\n\n", part, maxsplit=1)[0]
        if len(head) > MAX_PART_HEADERS and not part.startswith(b"--"):
            raise BadRequest("A part of the body has too long headers; shorten them.")


def check_part(part: Field) -> None:
    """Refuse a part that says it is encoded in another way than as UTF-8 text."""
    for encoding in part.headers.getlist("Content-Transfer-Encoding"):
        if encoding.strip().lower() not in {"7bit", "8bit", "binary"}:
            raise BadRequest(f"The part {part.name!r} is encoded; send it as it is.")
    _, options = parse_options_header(part.headers.get("Content-Type", ""))
    check_charset(options.get("charset", ""))


def nest(pairs: Iterable[tuple[str, str]]) -> Fields:
    """Put each ``name[key]`` below its name; the last of repeated names wins.

    >>> nest([("a", "1"), ("a", "2"), ("b[c]", "3")])
    {'a': '2', 'b': {'c': '3'}}
    """
    body: Fields = {}
    for name, value in pairs:
        if name == "_charset_":  # where HTML forms declare their encoding
            check_charset(value)
        outer, _, inner = name.partition("[")
        plain = not (outer and inner.endswith("]"))
        outer = name if plain else outer
        if isinstance(body.setdefault(outer, "" if plain else {}), str) != plain:
            raise BadRequest(f"{outer[:64]!r} is used both plain and with brackets.")
        if plain:
            body[name] = value
        else:
            body[outer][inner[:-1]] = value
    return body


def check_values(body: Fields, max_fields: float) -> None:
    """Refuse large objects, and what no database stores as text, at any depth.

    :raise 400: more than *max_fields* in an object; NUL or a lone surrogate
    """
    waiting: list[Any] = [body]  # recursion would be quadratic in the depth
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            check_text(value)
        elif isinstance(value, dict):
            if len(value) > max_fields:
                raise BadRequest(TOO_MANY)
            waiting += [*value.keys(), *value.values()]
        elif isinstance(value, list):
            waiting += value


def check_text(text: str) -> None:
    if "\0" in text:
        raise BadRequest("The body has a NUL character; leave it out.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = "The body has half of a surrogate pair; leave it out."
        raise BadRequest(half) from error


# The documentation sends JSON as text/json, and form fields as text/plain.
DECODERS: dict[str, Decoder] = {
    "application/json": decode_json,
    "text/json": decode_json,
    "application/x-www-form-urlencoded": decode_form,
    "text/plain": decode_form,
    "": decode_form,
    "multipart/form-data": decode_multipart,
}


def find_decoder(media_type: str) -> Decoder:
    """Return the decoder of *media_type*.

    :raise 415: there is none
    """
    if media_type.startswith("application/") and media_type.endswith("+json"):
        return decode_json
    try:
        return DECODERS[media_type]
    except KeyError as error:
        raise UnsupportedMediaType(
            f"The Content-Type {media_type!r} is not understood; send "
            "application/json or application/x-www-form-urlencoded."
        ) from error
