"""Who is calling, and what they may do."""

import base64
import binascii
import hashlib
import hmac
import logging
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from flask import Flask, Request, g, request
from sqlalchemy import bindparam, select
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Forbidden, Unauthorized

from .config import setting
from .database import db, read
from .models import CURRENT_TAG, ChangeTag, Key, User

CHALLENGE = 'Basic realm="User email/API key", charset="UTF-8"'
# For a shop's own login. For Basic, browsers would open a dialog of their own.
LOGIN = WWWAuthenticate("session", {"realm": "The shop's own login"})
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
DEFAULT_PORTS = {"http": ":80", "https": ":443"}

logger = logging.getLogger(__name__)


class Caller(NamedTuple):
    """Who is calling; *store_id* None is a caller with access to all storefronts."""

    name: str
    store_id: int | None = None
    read_only: bool = False


class NoCaller(Unauthorized):
    """A 401 that says how to send credentials."""

    description = "Send the e-mail and the API key of an API user by HTTP Basic."

    def get_headers(self, *args: Any, **kwargs: Any) -> list[tuple[str, str]]:
        return [*super().get_headers(*args, **kwargs), ("WWW-Authenticate", CHALLENGE)]


def caller() -> Caller:
    """Return the caller that *authorize* has identified."""
    found: Caller = g.order_statuses_caller
    return found


def authorize(app: Flask, request: Request, *, is_resource: bool) -> None:
    """Identify the caller of *request* and, for a resource, check what they may do.

    :raise 401: the caller is unknown
    :raise 403: the caller may not do it, or a browser was tricked into it
    """
    g.order_statuses_tags = set()  # a shop's requests may share g
    identify = setting("ORDER_STATUSES_IDENTIFY")
    found = app.ensure_sync(identify)() if identify else identify_user()
    if found is None:
        raise Unauthorized("Log in to the shop first.", www_authenticate=LOGIN)
    if not isinstance(found, Caller):  # a shop's user could look like one
        raise TypeError("ORDER_STATUSES_IDENTIFY must return a Caller or None.")
    g.order_statuses_caller = found
    request.environ["order_statuses.caller"] = found.name  # for logs
    if is_resource:
        check_allowed(found, request)


def check_allowed(who: Caller, request: Request) -> None:
    is_write = request.method not in SAFE_METHODS
    if is_write and is_foreign(request):
        raise Forbidden("Another site sent this request.")
    if is_write and who.read_only:
        raise Forbidden("You may only read.")
    if who.store_id is None:
        return
    own, named = str(who.store_id), (request.view_args or {}).get("store_id")
    if named not in {None, own}:
        raise Forbidden(f"You have access to the store {own} alone.")
    if is_write and named is None:
        raise Forbidden(
            "You have access to one store and set its e-mail texts alone; "
            f"use PUT /stores/{own}/statuses/:id."
        )


def is_foreign(request: Request) -> bool:
    """Return whether a browser sent *request* for a page of another site.

    Sec-Fetch-Site tells; without it, an Origin must have the host and port of Host.
    The scheme is not compared, since TLS may end in front of the service.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = request.headers.get("Origin")
    return origin is not None and not same_host(origin, request.headers.get("Host", ""))


def same_host(origin: str, host: str) -> bool:
    """Compare the host and port of *origin* with a Host header.

    >>> same_host("https://shop.example", "SHOP.example:443")
    True
    """
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    port = DEFAULT_PORTS.get(parts.scheme, "")
    theirs, ours = (name.lower().removesuffix(port) for name in (parts.netloc, host))
    return theirs == ours != ""


def identify_user() -> Caller:
    """Return the API user whose credentials the request has.

    :raise 401: no active API user has them
    :raise 503: the database was never set up
    """
    environ = request.environ
    email, key = credentials(environ.get("HTTP_AUTHORIZATION", ""))
    sent = key_hash(key)
    for _, stored, store_id, read_only in read(USER_AND_KEYS, {"email": email}):
        if hmac.compare_digest(sent, stored or ""):
            environ["order_statuses.key"] = key_id(sent)
            return Caller(email, store_id, bool(read_only))  # SQLite has 0 and 1
    warn_without_users()
    raise NoCaller


# The only statement of a cached GET: it also reads the change tag.
USER_AND_KEYS = (
    select(CURRENT_TAG, Key.key_hash, User.store_id, User.read_only)
    .select_from(ChangeTag)
    .outerjoin(User, (User.email == bindparam("email")) & User.is_active)
    .outerjoin(Key, Key.user_id == User.user_id)
)


def warn_without_users() -> None:
    """Log how to add an API user, if there is none."""
    if db.session.scalar(select(User.user_id).limit(1)) is None:
        logger.warning(
            "There is no API user yet: flask order-statuses add-user EMAIL adds one."
        )


def key_hash(key: str) -> str:
    """Return the hash of an API key, which is stored in its place.

    A slow hash protects passwords that can be guessed; keys are random.
    """
    return hashlib.sha256(key.encode()).hexdigest()


def key_id(key_hash: str) -> str:
    """Return the id of a key, for operators and logs."""
    return key_hash[:8]


def credentials(header: str) -> tuple[str, str]:
    """Return the e-mail, in lower case, and the key; empty ones if there are none.

    Deployed clients append a stray ``:`` or ``=`` to the Base64 text.

    >>> credentials("Basic QUBzaG9wLmV4YW1wbGU6a2V5=:")
    ('a@shop.example', 'key')
    """
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    encoded = encoded.strip().rstrip(":=")
    try:
        decoded = base64.b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
    except (binascii.Error, ValueError):
        return "", ""
    email, _, key = decoded.partition(":")
    return ("", "") if "\0" in decoded else (email.lower(), key)
