"""Writing: all changes, made under the lock, and their signals."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from blinker import Namespace, Signal
from flask import Flask, current_app, g, request
from sqlalchemy import delete, select, union
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, scoped_session
from werkzeug.exceptions import BadRequest, ServiceUnavailable

from . import auth, config, reading, schemas
from .auth import Caller
from .database import (
    after_commit,
    connection_of,
    current_session,
    db,
    refuse_changes,
    take_lock,
    transaction,
)
from .models import (
    TEXTS,
    FreedLetter,
    Key,
    Status,
    StatusText,
    Store,
    StoreText,
    User,
    upsert,
)
from .reading import OrderStatus
from .schemas import MAX_PARAMS, STATUS_LETTERS, TOO_MANY_PARAMS

Receiver = Callable[..., Any]
AnySession = Session | scoped_session[Any]

new_status_schema = schemas.NewStatusSchema()
changes_schema = schemas.StatusChangesSchema(partial=True)
store_texts_schema = schemas.StoreTextsSchema()
write_query = schemas.WriteQuery()

MAX_PARAMETERS = 1_000  # of a statement: SQLite is slow with more

signals = Namespace()

# Sent with the application, after the commit: status (an OrderStatus), caller, and
# store_id, the storefront whose texts were set, or None.
status_created = signals.signal("status-created")
status_updated = signals.signal("status-updated")
status_deleted = signals.signal("status-deleted")

logger = logging.getLogger(__name__)


def create_status(fields: Mapping[str, Any], *, caller: str) -> OrderStatus:
    """Create a status in process, by the rules of the API, and commit ``db.session``.

    *caller* is a name for the log and the signals. The status is returned in the
    default language. The errors are those of the API:

    :raise ValidationError: of marshmallow, for wrong *fields*
    :raise BadRequest: no letter is left
    :raise RuntimeError: the session has changes that are not committed
    """
    new = new_status_schema.load(fields)
    with in_process(caller):
        return reading.snapshot(add_status(new))


def update_status(
    status_id: int | str,
    fields: Mapping[str, Any],
    *,
    lang_code: str | None = None,
    store_id: int | str | None = None,
    caller: str,
) -> OrderStatus:
    """Change a status in process, or its e-mail texts in the storefront *store_id*.

    A ``lang_code`` in *fields* goes before the argument. Returned is the status in the
    language that was written, as the storefront sees it. See also *create_status*.

    :raise NotFound: there is no such status or storefront
    """
    query = {} if lang_code is None else {"lang_code": lang_code}
    schema = changes_schema if store_id is None else store_texts_schema
    changes = write_query.load(query) | schema.load(fields)
    with in_process(caller):
        status, store = find_rows(status_id, store_id)
        if store is None:
            change_status(status, changes)
        else:
            set_store_texts(status, store, changes)
        return reading.snapshot(status, changes["lang_code"], store)


def find_rows(
    status_id: int | str, store_id: int | str | None
) -> tuple[Status, int | None]:
    store = None
    if store_id is not None:
        store = reading.get_or_404(Store, str(store_id)).store_id
    return reading.get_or_404(Status, str(status_id)), store


def delete_status(status_id: int | str, *, caller: str) -> None:
    """Delete a status in process, as *remove_status* does. See also *create_status*.

    :raise NotFound: there is no such status
    """
    with in_process(caller):
        remove_status(reading.get_or_404(Status, str(status_id)))


@contextmanager
def in_process(name: str) -> Iterator[None]:
    """Hold the lock, as *transaction* does, for a caller with this *name*.

    :raise RuntimeError: the session has changes that are not committed
    """
    refuse_changes()
    of_request = g.get("order_statuses_caller")
    g.order_statuses_caller = g.order_statuses_in_process = Caller(name)
    try:
        with transaction():
            yield
    finally:
        g.order_statuses_caller = of_request


def add_status(fields: Mapping[str, Any]) -> Status:
    """Add a status with the next free letter, and its texts in every language.

    :raise 400: no letter is left, or too many params
    """
    status = Status(
        type=fields["type"],
        status=free_letter(fields["type"]),
        params=merge({}, fields.get("params", {})),
        **{name: fields[name] for name in fields.keys() & {"is_default", "position"}},
    )
    db.session.add(status)
    db.session.flush()
    texts = {name: fields.get(name, "") for name in TEXTS}
    db.session.add_all(
        StatusText(status_id=status.status_id, lang_code=lang_code, **texts)
        for lang_code in config.languages()
    )
    announce(status_created, status, field_names(fields))
    return status


def free_letter(type_: str) -> str:
    """Return the first letter that no status of the type ever had.

    If there is none, return the letter that was freed longest ago: old orders may have
    the others.

    :raise 400: no letter is free
    """
    taken = set(db.session.scalars(select(Status.status).filter_by(type=type_)))
    freed = select(FreedLetter.status, FreedLetter.freed_at).filter_by(type=type_)
    freed_at = {letter: at for letter, at in db.session.execute(freed)}
    free = [letter for letter in STATUS_LETTERS if letter not in taken]
    never_used = [letter for letter in free if letter not in freed_at]
    if not free:
        raise BadRequest("All letters of this type are taken; delete a status first.")
    return never_used[0] if never_used else min(free, key=freed_at.__getitem__)


def change_status(status: Status, fields: Mapping[str, Any]) -> None:
    """Set the *fields* given, the texts among them in the language *lang_code*.

    :raise 400: too many params
    """
    for name in fields.keys() & {"is_default", "position"}:
        setattr(status, name, fields[name])
    if "params" in fields:
        status.params = merge(status.params, fields["params"])
    lang_code = fields["lang_code"]
    key = {"status_id": status.status_id, "lang_code": lang_code}
    set_texts(StatusText, key, fields)
    announce(status_updated, status, field_names(fields), lang_code)


def set_store_texts(status: Status, store_id: int, fields: Mapping[str, Any]) -> None:
    """Set the e-mail texts given in a store, in the language *lang_code*."""
    lang_code = fields["lang_code"]
    of_status = {"status_id": status.status_id, "lang_code": lang_code}
    set_texts(StoreText, {**of_status, "store_id": store_id}, fields)
    announce(status_updated, status, field_names(fields), lang_code, store_id)


def set_texts(
    model: type[StatusText | StoreText],
    key: Mapping[str, Any],
    fields: Mapping[str, Any],
) -> None:
    """Set the texts among *fields* in the row of that *key*, new or old."""
    texts = {name: fields[name] for name in TEXTS if name in fields}
    if texts:
        connection = connection_of(current_session())
        statement = upsert(model, tuple(texts), connection.dialect.name)
        connection.execute(statement, {**key, **texts})


def merge(params: Mapping[str, str], changes: Mapping[str, Any]) -> dict[str, str]:
    """Return *params* with the *changes*; None removes a key.

    >>> merge({"color": "#ffffff", "note": "x"}, {"note": None, "repay": "Y"})
    {'color': '#ffffff', 'repay': 'Y'}
    """
    merged = {k: v for k, v in {**params, **changes}.items() if v is not None}
    if len(merged) > MAX_PARAMS:
        raise BadRequest(TOO_MANY_PARAMS)
    return merged


def check_deletable(status: Status) -> None:
    """Refuse to delete a default status, or one that orders use.

    :raise 400: it is one of these
    :raise 503: the shop cannot count its orders
    """
    if status.is_default == "Y":
        raise BadRequest("A default status cannot be deleted; set is_default to N.")
    count_orders = config.setting("ORDER_STATUSES_COUNT_ORDERS")
    if count_orders is None:
        return
    try:
        count = int(current_app.ensure_sync(count_orders)(reading.snapshot(status)))
    except Exception as error:
        logger.exception("ORDER_STATUSES_COUNT_ORDERS failed: nothing is deleted.")
        unknown = "The shop cannot tell whether orders use this status; try again."
        raise ServiceUnavailable(unknown, retry_after=5) from error
    if count:
        raise BadRequest(f"Orders use this status: {count}. Give them another first.")


def remove_status(status: Status) -> None:
    """Remove *status*, and its texts everywhere, unless it is built in or in use.

    :raise 400: it is
    :raise 503: the shop cannot count its orders
    """
    check_deletable(status)
    rows = db.session.scalars(select(StatusText).filter_by(status_id=status.status_id))
    descriptions = {row.lang_code: row.description for row in rows}
    what = {"type": status.type, "status": status.status, **descriptions}
    announce(status_deleted, status, what)
    # By hand: a shop's SQLite may not enforce foreign keys, nor cascade.
    for texts in (StatusText, StoreText):
        of_status = texts.status_id == status.status_id
        db.session.execute(delete(texts).where(of_status))
    db.session.delete(status)
    try:
        db.session.flush()
    except IntegrityError as error:
        raise BadRequest("The shop still uses this status.") from error


def replace_stores(names: Mapping[int, str], *, allow_empty: bool = False) -> None:
    """Make the storefronts those of *names*, by id, in the shop's own transaction.

    New ones are added and others renamed. Those that are not among *names* are removed,
    and with them their texts and the API users bound to them.

    :raise ValueError: an id or a name that no storefront can have; or no *names*,
        unless *allow_empty* says that all storefronts are to be removed
    """
    if not (names or allow_empty):
        raise ValueError("This would remove all storefronts: set allow_empty=True.")
    stores = [Store(store_id=store_id, name=name) for store_id, name in names.items()]
    take_lock(current_session())
    # Without foreign keys, the other tables may have storefronts that Store lacks.
    ids = union(*(select(model.store_id) for model in (Store, StoreText, User)))
    remove_stores({*db.session.scalars(ids)} - {None, *names})
    write_stores(db.session, {store.store_id: store.name for store in stores})


def remove_stores(store_ids: Iterable[int]) -> None:
    """Remove storefronts, and what belongs to them."""
    # By hand: a shop's SQLite may not enforce foreign keys. It uses ids of users again:
    # the key of a removed user would be the next user's.
    ids = list(store_ids)
    for start in range(0, len(ids), MAX_PARAMETERS):
        some = ids[start : start + MAX_PARAMETERS]
        users = select(User.user_id).where(User.store_id.in_(some))
        db.session.execute(delete(Key).where(Key.user_id.in_(users)))
        for model in (User, StoreText, Store):
            db.session.execute(delete(model).where(model.store_id.in_(some)))


def write_stores(session: AnySession, names: Mapping[int, str]) -> dict[int, str]:
    """Add and rename storefronts; return the *names* that are new."""
    known = {store.store_id: store for store in session.scalars(select(Store))}
    new = {}
    for store_id, name in names.items():
        store = known.get(store_id) or Store(store_id=store_id)
        if store.name != name:
            store.name = new[store_id] = name
            session.add(store)
    return new


def announce(
    signal: Signal,
    status: Status,
    what: object,
    lang_code: str | None = None,
    store_id: int | None = None,
) -> None:
    """Log *what* and send *signal*, after the commit.

    Receivers get *status* as it is now, in a language and as a store.
    """
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    receivers = list(signal.receivers_for(app))
    status_id = status.status_id
    values: dict[str, Any] = {}
    if receivers:  # else nothing is read
        seen = reading.snapshot(status, lang_code, store_id)
        values = {"status": seen, "caller": auth.caller(), "store_id": store_id}

    author = find_author()

    def log_and_send() -> None:
        if author:
            # repr() leaves no line break of a name, an address or a text as it is.
            logger.info("%.1900s", f"{author} {status_id} {what!r}")
        send(app, receivers, values)

    after_commit(log_and_send)


def find_author() -> str | None:
    """Return who is writing and how, for the log; a command prints what it does."""
    caller = g.get("order_statuses_caller")
    if caller and caller is g.get("order_statuses_in_process"):
        return f"{caller.name!r} - in process"
    if not (request and "order_statuses.caller" in request.environ):
        return None
    environ = request.environ
    who, key = environ["order_statuses.caller"], environ.get("order_statuses.key", "-")
    return f"{who!r} {key} {request.method} {request.path!r}"


def send(app: Flask, receivers: Iterable[Receiver], values: Mapping[str, Any]) -> None:
    """Call the *receivers*; one that raises is logged and stops no other.

    The write is committed: an error now would make clients repeat it.
    """
    for receiver in receivers:
        try:
            app.ensure_sync(receiver)(app, **values)
        except Exception:
            logger.exception("A receiver of a signal failed: %r", receiver)
            db.session.rollback()


def field_names(fields: Mapping[str, Any]) -> list[str]:
    """Return the names of the *fields* that a write sets.

    >>> field_names({"description": "x", "lang_code": "en", "params": {"color": None}})
    ['description', 'params.color']
    """
    params = [f"params.{name}" for name in fields.get("params", {})]
    return [name for name in fields if name not in {"lang_code", "params"}] + params
