"""Request bodies: read once, decoded strictly by their Content-Type."""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple
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

MAX_BYTES = 1024 * 1024
MAX_FIELDS = 1000
TOO_LARGE = "The body is larger than 1 MiB; send a shorter one."
TOO_MANY = f"The body has more than {MAX_FIELDS} fields; send fewer."
NOT_UTF8 = "The body is not UTF-8; encode it as UTF-8."
NO_LENGTH = "This server takes no body in chunks; send its Content-Length."
CUT_SHORT = "The body did not arrive whole; send it again."

Fields = dict[str, Any]
Decoder = Callable[[bytes, dict[str, str]], Fields]


class Body(NamedTuple):
    """A body as it arrived: *content* is None if it was too large to take."""

    content_type: str
    content_encoding: str
    content: bytes | None

    def check(self) -> tuple[Decoder, dict[str, str], bytes]:
        """Return what decodes the body, with the Content-Type's options, and the body.

        :raise 413: larger than 1 MiB
        :raise 415: a Content-Type or Content-Encoding that is not understood
        """
        if self.content is None:
            raise RequestEntityTooLarge(TOO_LARGE)
        if self.content_encoding.lower() not in {"", "identity"}:
            raise UnsupportedMediaType("Send the body without a Content-Encoding.")
        media_type, options = parse_options_header(self.content_type)
        return find_decoder(media_type.lower()), options, self.content

    def decode(self) -> Fields:
        """Decode the body by its Content-Type.

        :raise 413: larger than 1 MiB, or too many form parts
        :raise 415: a Content-Type or Content-Encoding that is not understood
        :raise 400: not what its Content-Type says, or with text that cannot be stored
        """
        decoder, options, content = self.check()
        if options.get("charset", "utf-8").lower() not in {"utf-8", "utf8"}:
            raise BadRequest("The charset is not UTF-8; encode the body as UTF-8.")
        try:
            fields = decoder(content, options)
            check_strings(fields)
        except UnicodeDecodeError as error:
            raise BadRequest(NOT_UTF8) from error
        except RecursionError as error:
            raise BadRequest("The body is nested too deeply.") from error
        return fields


def read(request: Request) -> Body:
    """Take the whole body from the socket, or at most a little over 1 MiB of it.

    :raise 400: it did not arrive whole
    :raise 411: it comes in chunks, which the server does not hand over
    """
    try:
        content: bytes | None = receive(request)
    except RequestEntityTooLarge:
        content = None
    headers = request.headers
    return Body(
        headers.get("Content-Type", ""), headers.get("Content-Encoding", ""), content
    )


def receive(request: Request) -> bytes:
    # uWSGI does not say where such a body ends, and Werkzeug takes it for an empty one.
    terminated = request.environ.get("wsgi.input_terminated")
    encoding = request.headers.get("Transfer-Encoding", "")
    if "chunked" in encoding.lower() and not terminated:
        raise LengthRequired(NO_LENGTH)
    # Werkzeug cuts a chunked body at its limit: a byte more tells that there is more.
    request.max_content_length = MAX_BYTES + 1
    try:
        content = request.get_data()
    except RequestEntityTooLarge:
        raise
    except Exception as error:  # each server has its own for a broken body
        raise BadRequest(CUT_SHORT) from error
    if len(content) > MAX_BYTES:
        raise RequestEntityTooLarge
    # gunicorn takes the end of the connection for the end of the body.
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


def distinct(pairs: list[tuple[str, Any]]) -> Fields:
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


def nest(pairs: Iterable[tuple[str, str]]) -> Fields:
    """Put each ``name[key]`` below its name; the last of repeated names wins.

    >>> nest([("a", "1"), ("a", "2"), ("b[c]", "3")])
    {'a': '2', 'b': {'c': '3'}}
    """
    body: Fields = {}
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


def check_strings(body: Fields) -> None:
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
