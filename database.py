"""The database of the running application: reads, the one lock, kinds of errors."""

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from sqlite3 import SQLITE_BUSY, SQLITE_ERROR
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy as sa
from flask import current_app, g
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session
from werkzeug.exceptions import ServiceUnavailable
from werkzeug.local import LocalProxy

from .models import RENEW, RENEWED_IN, Base, ChangeTag

if TYPE_CHECKING:  # a shop may have Flask-SQLAlchemy-Lite
    from flask_sqlalchemy import SQLAlchemy

# A shop has its own SQLAlchemy, and an application takes only one.
db = cast("SQLAlchemy", LocalProxy(lambda: current_app.extensions["sqlalchemy"]))

READER = "order_statuses_reader"  # the standalone service's own engine for reads
NOT_SET_UP = (
    "The database is not set up: flask order-statuses init does it. In a shop of your "
    "own, your migrations and then flask order-statuses seed do it; without "
    "migrations, flask order-statuses seed --create-tables."
)

OUTAGES = (
    sa.exc.InterfaceError,
    sa.exc.InternalError,
    sa.exc.OperationalError,
    sa.exc.TimeoutError,
)

CHANGE_TAG = sa.select(ChangeTag.tag)
Query = sa.Select[*tuple[Any, ...]]

AFTER_COMMIT = "order_statuses_after_commit"

logger = logging.getLogger(__name__)


def read(
    query: Query, parameters: Mapping[str, Any], is_plain: bool = False
) -> Sequence[Any]:
    """Run a query whose first column is the change tag, and note the tag.

    Rows of an *is_plain* query may come as the driver has them.

    :raise 503: the database was never set up
    """
    reader = current_app.extensions.get(READER)
    rows: Sequence[Any]
    # A shop's session sees what the shop has changed in it, and its tests may have
    # bound it to anything.
    if reader is None or db.session.registry.has():
        # What is read now may be cached: the next change renews the tag again.
        db.session.info.pop(RENEWED_IN, None)
        rows = db.session.execute(query, parameters).all()
    elif is_plain:
        rows = fetch(reader, sql_of(query, reader.dialect), parameters)
    else:
        with reader.connect() as connection:
            rows = connection.execute(query, parameters).all()
    if not rows:  # the row with the tag is always there, whatever is joined to it
        raise not_initialised()
    g.setdefault("order_statuses_tags", set()).add(rows[0][0])
    return rows


def fetch(reader: sa.Engine, sql: str, parameters: Mapping[str, Any]) -> Sequence[Any]:
    """Fetch by the driver's own cursor, which costs a third of SQLAlchemy's.

    :raise DBAPIError: as SQLAlchemy would
    """
    driver = reader.dialect.loaded_dbapi
    with reader.connect() as connection:
        try:
            cursor = connection.connection.cursor()
            cursor.execute(sql, parameters)
            return cursor.fetchall()
        except BaseException as error:
            connection.invalidate(error)  # it may be in the middle of something
            if not isinstance(error, driver.Error):
                raise
            raise DBAPIError.instance(sql, None, error, driver.Error) from error


@lru_cache
def sql_of(query: Query, dialect: sa.Dialect) -> str:
    return str(query.compile(dialect=dialect))


def engine() -> sa.Engine:
    """Return the engine that the running application reads from."""
    reader: sa.Engine | None = current_app.extensions.get(READER)
    return reader or db.session.get_bind(mapper=ChangeTag).engine


@contextmanager
def transaction() -> Iterator[None]:
    """Hold the one lock, and commit at the end or roll back.

    Whatever is read inside is the newest there is, and stays so until the commit.
    Afterwards the calls that *after_commit* has kept are made.

    :raise 503: the database was never set up
    """
    info = current_session().info
    info[AFTER_COMMIT] = []
    try:
        wait_for_lock()
        yield
        db.session.commit()
    except BaseException:
        db.session.rollback()
        raise
    for call in info.pop(AFTER_COMMIT):
        call()


def after_commit(call: Callable[[], None]) -> None:
    """Have *call* made once the current *transaction* is committed."""
    current_session().info[AFTER_COMMIT].append(call)


@contextmanager
def savepoint() -> Iterator[None]:
    """Begin a savepoint within *transaction*; an error rolls back to it."""
    calls = current_session().info[AFTER_COMMIT]
    before = len(calls)
    try:
        with db.session.begin_nested():
            yield
    except BaseException:
        del calls[before:]
        raise


def wait_for_lock() -> None:
    """Take the lock, again where a shop's stricter isolation refuses to wait for it.

    That gives up what was read so far, but nothing that the shop has written.
    """
    seconds = current_app.config.get("ORDER_STATUSES_LOCK_TIMEOUT", 15)
    end = time.monotonic() + seconds
    must_stay = has_work_of_shop()
    while True:
        try:
            return take_lock()
        except OperationalError as error:
            if must_stay or not is_conflict(error) or time.monotonic() > end:
                raise
            db.session.rollback()


def has_work_of_shop() -> bool:
    """Say whether a rollback now would lose what the shop did in its session."""
    session = current_session()
    if session.new or session.dirty or session.deleted:
        return True
    if not session.in_transaction():
        return False
    # The session forgets what it flushed or wrote in bulk. PostgreSQL gives such a
    # transaction an id; SQLite gives it the lock, which is then never refused.
    connection = connection_of(session)
    wrote = sa.select(sa.func.pg_current_xact_id_if_assigned().is_not(None))
    return len(db.engines) > 1 or (
        connection.dialect.name == "postgresql" and bool(connection.scalar(wrote))
    )


def take_lock() -> None:
    """Renew the change tag, which makes every other writer wait."""
    session = current_session()
    if connection_of(session).execute(RENEW).rowcount == 0:
        raise not_initialised()
    innermost = session.get_nested_transaction() or session.get_transaction()
    session.info[RENEWED_IN] = innermost


def current_session() -> Session:
    # Flask-SQLAlchemy's session is a registry of sessions, Lite's is the session.
    return db.session() if callable(db.session) else db.session


def connection_of(session: Session) -> sa.Connection:
    return session.connection(bind_arguments={"mapper": ChangeTag})


def not_initialised() -> ServiceUnavailable:
    """Tell the operator what to do, and return the error that clients see."""
    logger.error(NOT_SET_UP)
    return ServiceUnavailable("The database is not set up yet.", retry_after=5)


def is_conflict(error: SQLAlchemyError) -> bool:
    """Say whether the database refused to let a transaction wait for another.

    PostgreSQL has serialization failures and deadlocks, SQLite has SQLITE_BUSY.
    """
    of_postgresql, of_sqlite = codes_of(error)
    return of_postgresql in {"40001", "40P01"} or of_sqlite & 0xFF == SQLITE_BUSY


def is_table_missing(error: SQLAlchemyError) -> bool:
    """Say whether the database lacks one of our tables; a shop's own is the shop's."""
    of_postgresql, _ = codes_of(error)
    reason = reason_of(error)
    is_missing = of_postgresql == "42P01" or "no such table" in reason
    return is_missing and not Base.metadata.tables.keys().isdisjoint(
        re.findall(r"\w+", reason)
    )


def is_outage(error: SQLAlchemyError) -> bool:
    """Say whether the database is away, overloaded or read-only.

    SQLite calls a wrong statement operational too, which no later time makes right.
    """
    _, of_sqlite = codes_of(error)
    return isinstance(error, OUTAGES) and of_sqlite != SQLITE_ERROR


def codes_of(error: SQLAlchemyError) -> tuple[str, int]:
    """Return the code of a PostgreSQL error, or "", and of an SQLite error, or 0."""
    cause = getattr(error, "orig", None)
    # psycopg's name for the code, and psycopg2's, which a shop may have.
    code = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None) or ""
    return code, getattr(cause, "sqlite_errorcode", 0)


def reason_of(error: SQLAlchemyError) -> str:
    """Return what the database said, in one line."""
    return str(getattr(error, "orig", None) or error).partition("\n")[0]
