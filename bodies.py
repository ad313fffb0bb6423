"""Request bodies: read once, decoded by their Content-Type."""

from collections.abc import Callable
from typing import NamedTuple

from flask import Request
from werkzeug.exceptions import (
    BadRequest,
    RequestEntityTooLarge,
    UnsupportedMediaType,
)
from werkzeug.http import parse_options_header

from order_statuses.decoders import (
    Body,
    check_strings,
    decode_form,
    decode_json,
    decode_multipart,
)

MAX_BYTES = 1024 * 1024
TOO_LARGE = "The body is larger than 1 MiB; send a shorter one."
NOT_UTF8 = "The body is not UTF-8; encode it as UTF-8."
CUT_SHORT = "The body did not arrive whole; send it again."


class Sent(NamedTuple):
    """A body as it arrived: *content* is None if it was too large to take."""

    content_type: str
    content_encoding: str
    content: bytes | None

    def check(self) -> "tuple[Decoder, dict[str, str], bytes]":
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


def read(request: Request) -> Sent:
    """Take the whole body from the socket, or at most a little over 1 MiB of it.

    :raise 400: it did not arrive whole
    """
    try:
        content: bytes | None = receive(request)
    except RequestEntityTooLarge:
        content = None
    headers = request.headers
    return Sent(
        headers.get("Content-Type", ""), headers.get("Content-Encoding", ""), content
    )


def receive(request: Request) -> bytes:
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


def decode(sent: Sent) -> Body:
    """Decode what was sent by its Content-Type.

    :raise 413: larger than 1 MiB, or too many form parts
    :raise 415: a Content-Type or Content-Encoding that is not understood
    :raise 400: not what its Content-Type says, or with text that cannot be stored
    """
    decoder, options, content = sent.check()
    if options.get("charset", "utf-8").lower() not in {"utf-8", "utf8"}:
        raise BadRequest("The charset is not UTF-8; encode the body as UTF-8.")
    try:
        body = decoder(content, options)
        check_strings(body)
    except UnicodeDecodeError as error:
        raise BadRequest(NOT_UTF8) from error
    except RecursionError as error:
        raise BadRequest("The body is nested too deeply.") from error
    return body


Decoder = Callable[[bytes, dict[str, str]], Body]

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
