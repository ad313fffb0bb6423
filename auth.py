"""Who is calling, and what they may do."""

import base64
import binascii
import hashlib
import hmac
import logging
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from wsgiref.types import WSGIEnvironment

from flask import Request, g, request
from sqlalchemy import bindparam, select
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Forbidden, Unauthorized

from .config import extension, setting
from .database import db, read
from .models import CURRENT_TAG, ChangeTag, Key, User

CHALLENGE = 'Basic realm="User email/API key", charset="UTF-8"'
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
OURS = "order_statuses_is_ours"  # an attribute of errors
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


def authorize(request: Request, found: object, *, is_resource: bool) -> None:
    """Note who *found* is, and check what they may do if *request* is for a resource.

    :raise 401: nobody is found
    :raise 403: the caller may not do it, or a browser was tricked into it
    """
    if found is None:
        raise unknown_to_shop()
    if not isinstance(
        found, Caller
    ):  # a shop's own user could have the same attributes
        raise TypeError("ORDER_STATUSES_IDENTIFY must return a Caller or None.")
    g.order_statuses_caller = found
    request.environ["order_statuses.caller"] = found.name  # for logs
    if is_resource:
        check_allowed(found, request)


def unknown_to_shop() -> Unauthorized:
    """Return the 401 of a shop's own login; it names the shop's scheme, if HTTP has it.

    A name that HTTP does not have would tell clients nothing.
    """
    scheme = setting("ORDER_STATUSES_SECURITY_SCHEME") or {"type": None}
    if scheme["type"] != "http":
        return Unauthorized("The shop's login does not know who is calling.")
    challenge = WWWAuthenticate(scheme["scheme"], {"realm": "The shop's own login"})
    why = f"Send credentials of the shop's login by HTTP {challenge.type.title()}."
    return Unauthorized(why, www_authenticate=challenge)


def has_own_login() -> bool:
    """Return whether the running application is a shop with a login of its own.

    The local administrator, which the service sets up after the settings, is none.
    """
    identify = extension().given.get("ORDER_STATUSES_IDENTIFY")
    return identify is not None and identify is not identify_user


def check_allowed(who: Caller, request: Request) -> None:
    is_write = request.method not in SAFE_METHODS
    if is_write and is_foreign(request) and not is_trusted(request):
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
            f"You may only set the e-mail texts of the store {own}; "
            f"use PUT /stores/{own}/statuses/:id."
        )


def is_foreign(request: Request) -> bool:
    """Return whether a browser sent *request* for a page of another site.

    Sec-Fetch-Site says so; without it, Origin must have the host and port of Host.
    The scheme is not compared, since TLS may end in front of the service.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = request.headers.get("Origin")
    return origin is not None and not same_host(origin, request.headers.get("Host", ""))


def is_trusted(request: Request) -> bool:
    """Return whether the page that sent *request* is of an origin that may write.

    The local administrator does without: a page has no credentials there.
    """
    return request.headers.get("Origin") in setting("ORDER_STATUSES_TRUSTED_ORIGINS")


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

    A shop may call this: what it raises is marked, and never goes to a handler of the
    shop's.

    :raise 401: no active API user has them
    :raise 503: the database was never set up
    """
    try:
        return find_user(request.environ)
    except Exception as error:
        vars(error)[OURS] = True
        raise


def find_user(environ: WSGIEnvironment) -> Caller:
    """Do what *identify_user* does."""
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

    A fast hash is enough: keys are random and cannot be guessed.
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
