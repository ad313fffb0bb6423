"""Writing: the one lock, and what changes under it."""

import logging
import string
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from flask import current_app, request
from sqlalchemy import Connection, delete, func, select
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session
from werkzeug.exceptions import BadRequest

from .models import (
    RENEWED_IN,
    TEXTS,
    CatalogueLock,
    Status,
    StatusText,
    Store,
    StoreText,
    db,
    innermost_transaction,
    is_conflict,
    not_initialised,
    renew_token,
)
from .responses import address

MAX_PARAMS = 64
# N and T are reserved for hidden order states.
LETTERS = string.ascii_uppercase.replace("N", "").replace("T", "") + string.digits

logger = logging.getLogger(__name__)


@contextmanager
def transaction() -> Iterator[None]:
    """Hold the catalogue's one lock, and commit at the end or roll back.

    Whatever is read inside is the newest there is, and stays so until the commit.

    :raise 503: the database was never set up
    """
    try:
        wait_for_lock()
        yield
        db.session.commit()
    except BaseException:
        db.session.rollback()
        raise


def wait_for_lock() -> None:
    """Take the lock, again where a host's stricter isolation refuses to wait for it.

    That gives up what was read so far, but nothing that the host has written.
    """
    seconds = current_app.config.get("ORDER_STATUSES_LOCK_TIMEOUT", 15)
    end = time.monotonic() + seconds
    must_stay = has_work_of_host()
    while True:
        try:
            return lock_catalogue()
        except OperationalError as error:
            if must_stay or not is_conflict(error) or time.monotonic() > end:
                raise
            db.session.rollback()


def has_work_of_host() -> bool:
    """Say whether a rollback now would lose what the host did in its session."""
    session = session_of_host()
    if session.new or session.dirty or session.deleted:
        return True
    if not session.in_transaction():
        return False
    # The session forgets what it flushed or wrote in bulk. PostgreSQL gives such a
    # transaction an id; SQLite gives it the lock, which is then never refused.
    connection = connection_of(session)
    wrote = select(func.pg_current_xact_id_if_assigned().is_not(None))
    return len(db.engines) > 1 or (
        connection.dialect.name == "postgresql" and bool(connection.scalar(wrote))
    )


def lock_catalogue() -> None:
    """Give the catalogue a new token, which makes every other writer wait."""
    session = session_of_host()
    if renew_token(connection_of(session)) == 0:
        raise not_initialised()
    session.info[RENEWED_IN] = innermost_transaction(session)


def session_of_host() -> Session:
    # Flask-SQLAlchemy's session is a registry of sessions, Lite's is the session.
    return db.session() if callable(db.session) else db.session


def connection_of(session: Session) -> Connection:
    return session.connection(bind_arguments={"mapper": CatalogueLock})


def create_status(fields: Mapping[str, Any], languages: Iterable[str]) -> Status:
    """Add a status with the next free letter, and its texts in all *languages*.

    :raise 400: no letter is left, or too many params
    """
    status = Status(
        type=fields["type"],
        status=free_letter(fields["type"]),
        is_default=fields.get("is_default"),
        params=merge({}, fields.get("params", {})),
    )
    db.session.add(status)
    db.session.flush()
    texts = {name: fields.get(name, "") for name in TEXTS}
    db.session.add_all(
        StatusText(status_id=status.status_id, lang_code=lang_code, **texts)
        for lang_code in languages
    )
    return status


def free_letter(type_: str) -> str:
    """Return the first letter that no status of the type has."""
    taken = set(db.session.scalars(select(Status.status).where(Status.type == type_)))
    for letter in LETTERS:
        if letter not in taken:
            return letter
    raise BadRequest("All letters of this type are taken; delete a status first.")


def change_status(status: Status, fields: Mapping[str, Any]) -> None:
    """Set the *fields* given, the texts among them in the language *lang_code*.

    :raise 400: too many params
    """
    if "is_default" in fields:
        status.is_default = fields["is_default"]
    if "params" in fields:
        status.params = merge(status.params, fields["params"])
    key = {"status_id": status.status_id, "lang_code": fields["lang_code"]}
    set_texts(StatusText, key, fields)


def set_store_texts(status: Status, store: Store, fields: Mapping[str, Any]) -> None:
    """Set the e-mail texts given in a store, in the language *lang_code*."""
    key = {
        "status_id": status.status_id,
        "store_id": store.store_id,
        "lang_code": fields["lang_code"],
    }
    set_texts(StoreText, key, fields)


def set_texts(
    model: type[StatusText | StoreText],
    key: Mapping[str, Any],
    fields: Mapping[str, Any],
) -> None:
    """Set the texts among *fields* in the row of that *key*, new or old."""
    texts = {name: fields[name] for name in TEXTS if name in fields}
    if texts:
        row = db.session.get(model, key, populate_existing=True) or model(**key)
        for name, text in texts.items():
            setattr(row, name, text)
        db.session.add(row)


def merge(params: Mapping[str, str], changes: Mapping[str, Any]) -> dict[str, str]:
    """Return *params* with the *changes*; None removes a key.

    >>> merge({"color": "#ffffff", "note": "x"}, {"note": None, "repay": "Y"})
    {'color': '#ffffff', 'repay': 'Y'}
    """
    merged = {k: v for k, v in {**params, **changes}.items() if v is not None}
    if len(merged) > MAX_PARAMS:
        raise BadRequest(f"A status has at most {MAX_PARAMS} params; remove some.")
    return merged


def check_not_default(status: Status) -> None:
    """Refuse to delete what is built in.

    :raise 400: it is
    """
    if status.is_default == "Y":
        raise BadRequest("A default status cannot be deleted; set is_default to N.")


def delete_status(status: Status) -> dict[str, Any]:
    """Remove *status* and its texts everywhere; return what is worth a line of the log.

    :raise 400: a table of the shop's refers to it
    """
    rows = db.session.scalars(select(StatusText).filter_by(status_id=status.status_id))
    descriptions = {row.lang_code: row.description for row in rows}
    deleted = {"type": status.type, "status": status.status, **descriptions}
    # By hand: a host's SQLite may not enforce foreign keys, nor cascade.
    for texts in (StatusText, StoreText):
        of_status = texts.status_id == status.status_id
        db.session.execute(delete(texts).where(of_status))
    db.session.delete(status)
    try:
        db.session.flush()
    except IntegrityError as error:
        raise BadRequest("The shop still uses this status.") from error
    return deleted


def log_write(status_id: str, what: object) -> None:
    """Log who did *what* to a status, once it is committed, in one line."""
    environ = request.environ
    who, key = environ["order_statuses.caller"], environ.get("order_statuses.key", "-")
    method = request.method
    # repr() leaves no line break of a name or a text as it is.
    logger.info("%r %s %s %s %s %r", who, key, method, address(), status_id, what)


def names(fields: Mapping[str, Any]) -> list[str]:
    """Return the names of the *fields* that a write sets.

    >>> names({"description": "x", "lang_code": "en", "params": {"color": None}})
    ['description', 'params.color']
    """
    params = [f"params.{name}" for name in fields.get("params", {})]
    return [name for name in fields if name not in {"lang_code", "params"}] + params
