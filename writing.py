"""Writing: the one lock, and what changes under it."""

import logging
import string
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from flask import current_app, request
from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError, OperationalError
from werkzeug.exceptions import BadRequest

from .models import (
    TEXTS,
    Status,
    StatusText,
    Store,
    StoreText,
    connection_of_catalogue,
    db,
    is_conflict,
    not_initialised,
    renew_token,
)

MAX_PARAMS = 64
# N and T are reserved for hidden order states.
LETTERS = string.ascii_uppercase.replace("N", "").replace("T", "") + string.digits

# Of one row; an underscore tells the parameters of its key from what is set.
UPDATES = {
    model: update(model).where(
        *(key == bindparam(f"{key.name}_") for key in model.__table__.primary_key)
    )
    for model in (StatusText, StoreText)
}

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
    # Flask-SQLAlchemy's session is a registry of sessions, Lite's is the session.
    session = db.session() if callable(db.session) else db.session
    if session.new or session.dirty or session.deleted:
        return True
    if not session.in_transaction():
        return False
    # The session forgets what it flushed or wrote in bulk. PostgreSQL gives such a
    # transaction an id; SQLite gives it the lock, which is then never refused.
    connection = connection_of_catalogue()
    wrote = select(func.pg_current_xact_id_if_assigned().is_not(None))
    return len(db.engines) > 1 or (
        connection.dialect.name == "postgresql" and bool(connection.scalar(wrote))
    )


def lock_catalogue() -> None:
    """Give the catalogue a new token, which makes every other writer wait."""
    if renew_token(connection_of_catalogue()) == 0:
        raise not_initialised()


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


def change_status(status: Status, fields: Mapping[str, Any]) -> list[str]:
    """Set the *fields* given, the texts among them in the language *lang_code*.

    Return the names of what was set.

    :raise 400: too many params
    """
    if "is_default" in fields:
        status.is_default = fields["is_default"]
    if "params" in fields:
        status.params = merge(status.params, fields["params"])
    key = {"status_id": status.status_id, "lang_code": fields["lang_code"]}
    set_texts(StatusText, key, fields)
    return names(fields)


def set_store_texts(
    status: Status, store: Store, fields: Mapping[str, Any]
) -> list[str]:
    """Set the e-mail texts given in a store, in the language *lang_code*.

    Return the names of what was set.
    """
    key = {
        "status_id": status.status_id,
        "store_id": store.store_id,
        "lang_code": fields["lang_code"],
    }
    set_texts(StoreText, key, fields)
    return names(fields)


def set_texts(
    model: type[StatusText | StoreText],
    key: Mapping[str, Any],
    fields: Mapping[str, Any],
) -> None:
    """Set the texts among *fields* in the row of that *key*, new or old."""
    texts = {name: fields[name] for name in TEXTS if name in fields}
    if texts:
        execute = connection_of_catalogue().execute
        row = {f"{name}_": value for name, value in key.items()}
        if execute(UPDATES[model], {**texts, **row}).rowcount == 0:
            execute(insert(model), {**key, **texts})


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
    address = quote(request.root_path + request.path)
    # repr() leaves no line break of a name or a text as it is.
    logger.info("%r %s %s %s %s %r", who, key, request.method, address, status_id, what)


def names(fields: Mapping[str, Any]) -> list[str]:
    """Return the names of the *fields* that a write sets.

    >>> names({"description": "x", "lang_code": "en", "params": {"color": None}})
    ['description', 'params.color']
    """
    params = [f"params.{name}" for name in fields.get("params", {})]
    return [name for name in fields if name not in {"lang_code", "params"}] + params
