"""How the service connects; reads, the lock of writes, and kinds of database errors."""

import json
import logging
import os
import re
import select
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy as sa
from flask import Flask, current_app, g
from sqlalchemy.exc import (
    DBAPIError,
    DisconnectionError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.orm import Session
from werkzeug.exceptions import ServiceUnavailable
from werkzeug.local import LocalProxy

from .config import SettingError, check_unchanged, extension
from .models import CURRENT_TAG, RENEW, RENEWED_IN, Base, ChangeTag

if TYPE_CHECKING:  # a shop may have Flask-SQLAlchemy-Lite
    from flask_sqlalchemy import SQLAlchemy

# The running application's: a shop has its own, and an application takes only one.
db = cast("SQLAlchemy", LocalProxy(lambda: current_app.extensions["sqlalchemy"]))

# On MySQL, the lock was tried and lost changes that had got a 200.
DIALECTS = {"sqlite", "postgresql"}
POOLER = "order_statuses_pooler"
SQLITE_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")
# Sets nothing behind a pooler, where the driver knows another process than the one that
# executes this, and no option that the URL has set.
SET_PARAMETERS = """
    SELECT set_config(name, ours.value, false)
    FROM pg_settings JOIN json_each_text(%s::json) AS ours (name, value) USING (name)
    WHERE pg_backend_pid() = %s AND source <> 'client'
"""
NOT_WRITABLE = "DATABASE_URL must be a file in a folder that can be written"
NOT_SET_UP = "The database is not set up: flask order-statuses init does it."
NOT_SET_UP_IN_SHOP = (
    "The database is not set up: your migrations and then flask order-statuses seed "
    "do it; without migrations, flask order-statuses seed --create-tables."
)

OUTAGES = (
    sa.exc.InterfaceError,
    sa.exc.InternalError,
    sa.exc.OperationalError,
    sa.exc.TimeoutError,
)

CHANGE_TAG = sa.select(CURRENT_TAG)
Query = sa.Select[*tuple[Any, ...]]

AFTER_COMMIT = "order_statuses_after_commit"

logger = logging.getLogger(__name__)


def connect(app: Flask, settings: Mapping[str, Any]) -> sa.Engine:
    """Give the standalone service its database, and return the engine for reads.

    Nothing is opened before the first request.

    :raise SettingError: an SQLite file would be in a folder that cannot be written
    """
    from flask_sqlalchemy import SQLAlchemy

    app.config["SQLALCHEMY_DATABASE_URI"] = settings["DATABASE_URL"]
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(settings)
    try:
        SQLAlchemy(app)
    except OSError as error:  # the instance folder cannot be made
        raise SettingError(f"{NOT_WRITABLE}: {error}.") from error
    with app.app_context():
        engine: sa.Engine = db.engine
        if engine.name == "sqlite":
            name = str(engine.url.database)
            if not name.startswith("file:"):  # a URL with options of SQLite's own
                check_writable(name)
                file = extension().sqlite_file = SqliteFile(name)
                sa.event.listen(engine, "do_connect", file.prepare)
            sa.event.listen(engine, "connect", set_pragmas)
            return engine  # its driver begins a transaction at the first write
        set_parameters(engine, postgresql_parameters(settings))
        return engine


def engine_options(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return SQLAlchemy's options for a database; each wait has a limit."""
    options: dict[str, Any] = {
        "pool_timeout": settings["ORDER_STATUSES_POOL_TIMEOUT"],
        "hide_parameters": True,  # keep texts and e-mail addresses out of the log
    }
    if settings["DATABASE_URL"].drivername == "sqlite":
        options["paramstyle"] = "named"  # a dictionary, as psycopg takes it
        options["connect_args"] = {
            "timeout": settings["ORDER_STATUSES_LOCK_TIMEOUT"],
            "isolation_level": "IMMEDIATE",
        }
    else:
        # Writers that have waited for the lock must see what the others have written.
        options["isolation_level"] = "READ COMMITTED"
        options["pool_reset_on_return"] = None  # a session ends what it has begun
        options["connect_args"] = {
            "connect_timeout": settings["ORDER_STATUSES_CONNECT_TIMEOUT"],
            "keepalives_idle": 30,  # routers forget connections that are silent
            "client_encoding": "utf8",  # whatever the role or the database sets
        }
    return options


def check_writable(file: str) -> None:
    """Refuse an SQLite *file* whose folder cannot be written.

    :raise SettingError: the folder cannot be written
    """
    folder = os.path.dirname(file)
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        raise SettingError(f"{NOT_WRITABLE}, which {folder} cannot.")


class SqliteFile:
    """A file that must exist, and stay the one that was opened first.

    Connections go on with a file that was replaced or removed: writes would be lost.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.opened: os.stat_result | None = None

    def prepare(self, *_: Any) -> None:
        """Check the file before a connection, which would create it.

        :raise OperationalError: from FileNotFoundError if it never existed
        """
        if self.opened:
            return self.check()
        try:
            self.opened = os.stat(self.name)
        except OSError as error:
            if os.path.isdir(os.path.dirname(self.name)):  # else SQLite itself fails
                raise OperationalError(None, None, error) from error

    def check(self) -> None:
        """Check that it is still the same, at the price of one stat.

        :raise OperationalError: it was replaced or removed
        """
        try:
            found = os.stat(self.name)
        except OSError:
            found = None
        if self.opened and not (found and os.path.samestat(found, self.opened)):
            lost = f"{self.name} was replaced or removed. Restart the service."
            raise OperationalError(None, None, sqlite3.OperationalError(lost))


def check_file() -> None:
    """Check that the service's SQLite file, if it has one, is still the same.

    :raise OperationalError: it was replaced or removed
    """
    if file := extension().sqlite_file:
        file.check()


def create_file() -> None:
    """Create the service's SQLite file, if it does not exist."""
    file = extension().sqlite_file
    if file and not os.path.exists(file.name):
        Path(file.name).touch(0o644)  # as SQLite does


def set_pragmas(connection: Any, _: Any) -> None:
    for pragma in SQLITE_PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def postgresql_parameters(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return PostgreSQL's parameters for the transactions of the service."""
    return {
        "synchronous_commit": "on",
        "lock_timeout": f"{settings['ORDER_STATUSES_LOCK_TIMEOUT']}s",
        "statement_timeout": f"{settings['ORDER_STATUSES_STATEMENT_TIMEOUT']}s",
        # Longer than gunicorn's timeout of 30 s.
        "idle_in_transaction_session_timeout": "60s",
        # A read outside transactions has no conflicts then.
        "default_transaction_isolation": "read committed",
    }


def set_parameters(engine: sa.Engine, parameters: Mapping[str, str]) -> None:
    """Set *parameters* on connect; behind a pooler, in each transaction.

    A pooler such as PgBouncer gives a connection to another client after each
    transaction: nothing may stay on it, prepared statements neither.
    """
    local = [f"SET LOCAL {name} = '{value}'" for name, value in parameters.items()]
    locally = "; ".join(local)

    def set_in_connection(connection: Any, record: Any) -> None:
        arguments = [json.dumps(parameters), connection.info.backend_pid]
        is_pooled = connection.execute(SET_PARAMETERS, arguments).rowcount == 0
        connection.commit()  # a rollback would take the parameters back
        record.info[POOLER] = is_pooled
        if is_pooled:
            connection.prepare_threshold = None

    def set_in_transaction(_session: Any, _: Any, connection: sa.Connection) -> None:
        if connection.info[POOLER]:
            connection.exec_driver_sql(locally)

    sa.event.listen(engine, "connect", set_in_connection)
    sa.event.listen(engine, "checkout", refuse_closed)
    sa.event.listen(db.session, "after_begin", set_in_transaction)


def refuse_closed(connection: Any, *_: Any) -> None:
    """Have the pool replace a *connection* that the server has closed.

    Such a connection has become readable. pool_pre_ping would cost every request a
    round trip.
    """
    idle = select.poll()
    idle.register(connection, select.POLLIN)
    if idle.poll(0):
        raise DisconnectionError


def read(query: Query, parameters: Mapping[str, Any]) -> Sequence[Any]:
    """Return the rows of *query*, whose first column is the change tag; note the tag.

    Values may be as the driver gives them, such as JSON as text.

    :raise SettingError: the API cannot use this database
    :raise 503: the database was never set up
    """
    engine = extension().read_engine
    rows: Sequence[Any]
    # A shop reads through its session, which has the shop's uncommitted changes and in
    # tests may be bound to any connection.
    if engine is None or db.session.registry.has():
        check_dialect()
        # The rows may be cached under this tag: the next change must renew it again.
        db.session.info.pop(RENEWED_IN, None)
        rows = db.session.execute(query, parameters).all()
    else:
        rows = fetch(engine, query, parameters)
    if not rows:  # there is no change tag: the others are outer-joined to it
        raise not_initialised()
    g.setdefault("order_statuses_tags", set()).add(rows[0][0])
    return rows


def fetch(
    engine: sa.Engine, query: Query, parameters: Mapping[str, Any]
) -> Sequence[Any]:
    """Fetch with the driver's own cursor, at a third of the cost of SQLAlchemy's.

    :raise DBAPIError: as SQLAlchemy would
    """
    error_class = engine.dialect.loaded_dbapi.Error
    sql, literals = compiled(query, engine.dialect)
    try:
        with closing(engine.raw_connection()) as connection:
            return fetch_from(connection, sql, {**literals, **parameters})
    except error_class as error:
        raise DBAPIError.instance(sql, None, error, error_class) from error


def fetch_from(
    connection: sa.PoolProxiedConnection, sql: str, parameters: Mapping[str, Any]
) -> Sequence[Any]:
    driver: Any = connection.driver_connection
    begins = not isinstance(driver, sqlite3.Connection)
    cursor = connection.cursor()
    try:
        if begins:  # BEGIN and ROLLBACK would be two more round trips
            driver.autocommit = True
        cursor.execute(sql, parameters)
        rows = cursor.fetchall()
        if begins:
            driver.autocommit = False
    except BaseException as error:
        connection.invalidate(error)  # it may have a half-read result
        raise
    return rows


@lru_cache
def compiled(query: Query, dialect: sa.Dialect) -> tuple[str, Mapping[str, Any]]:
    """Return the SQL of *query* and the literal values in it."""
    sql = query.compile(dialect=dialect)
    return str(sql), sql.params


def check_dialect() -> None:
    """Refuse a database on which the one lock would not hold.

    :raise SettingError: it is neither SQLite nor PostgreSQL
    """
    name = engine().dialect.name
    if name not in DIALECTS:
        raise SettingError(
            f"The API would lose changes on {name}: run the standalone service "
            "beside the shop, on SQLite or PostgreSQL."
        )


def engine() -> sa.Engine:
    """Return the engine that the running application reads from."""
    return extension().read_engine or db.session.get_bind(mapper=ChangeTag).engine


def name() -> str:
    """Return which database it is, for people, without what may be secret."""
    url = engine().url
    servers = {key: url.query[key] for key in ("host", "port") if key in url.query}
    shown = url.set(drivername=url.get_backend_name(), query=servers)
    is_default = "DATABASE_URL" in extension().settings.keys() - extension().given
    why = ", the default, since DATABASE_URL is not set" if is_default else ""
    return shown.render_as_string(hide_password=True) + why


@contextmanager
def transaction() -> Iterator[None]:
    """Hold the lock of all writes, and commit at the end or roll back.

    The lock is the row with the change tag. What is read inside is the newest, and
    stays so until the commit. Then the calls that *after_commit* has kept are made.
    Inside, wait for nobody, such as the reader of an output.

    :raise 503: the database was never set up
    :raise OperationalError: among others, if its SQLite file was replaced or removed
    """
    session = current_session()
    session.info[AFTER_COMMIT] = []
    try:
        wait_for_lock(session)
        check_file()
        yield
        session.commit()
    except BaseException:
        del session.info[AFTER_COMMIT]
        session.rollback()
        raise
    for call in session.info.pop(AFTER_COMMIT):
        call()


@contextmanager
def read_transaction() -> Iterator[None]:
    """Let all reads inside see the same moment; they make no writer wait.

    If the shop has begun a transaction, its isolation stays as it is.
    """
    session = current_session()
    bind = session.get_bind(mapper=ChangeTag)
    if session.in_transaction() or isinstance(bind, sa.Connection):
        yield
        return
    is_sqlite = bind.dialect.name == "sqlite"
    options = {} if is_sqlite else {"isolation_level": "REPEATABLE READ"}
    try:
        connection = connection_of(session, options)
        if is_sqlite and not is_begun(connection):
            connection.exec_driver_sql("BEGIN")
        yield
    finally:
        session.rollback()


def is_begun(sqlite: sa.Connection) -> bool:
    """Return whether *sqlite* has a transaction already, by a listener of the shop."""
    return bool(sqlite.connection.in_transaction)


def after_commit(call: Callable[[], None]) -> None:
    """Keep a *call* to be made once the current *transaction* is committed."""
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


def refuse_changes() -> None:
    """Refuse to commit what the caller of a function has not committed.

    :raise RuntimeError: the session has changes, or is in a *transaction*
    """
    session = current_session()
    if AFTER_COMMIT in session.info:
        raise RuntimeError(
            "Another write has not ended: write after it, in a receiver of its signal."
        )
    changed = any(map(session.is_modified, session.dirty))
    if changed or session.new or session.deleted:
        raise RuntimeError("Commit or roll back your own changes first.")


def wait_for_lock(session: Session) -> None:
    """Take the lock; retry after a serialization failure.

    A retry rolls back, so there is none if the session has changes of the shop.
    """
    seconds = extension().settings.get("ORDER_STATUSES_LOCK_TIMEOUT", 15)
    end = time.monotonic() + seconds
    must_stay = has_work_of_shop(session)
    while True:
        try:
            return take_lock(session)
        except OperationalError as error:
            if must_stay or not is_conflict(error) or time.monotonic() > end:
                raise
            session.rollback()


def has_work_of_shop(session: Session) -> bool:
    """Return whether a rollback now would lose changes of the shop in its session."""
    if session.new or session.dirty or session.deleted:
        return True
    if not session.in_transaction():
        return False
    # What is flushed, or written in bulk, is not in the session any more. PostgreSQL
    # has then given the transaction an id; SQLite has given it the lock already.
    connection = connection_of(session)
    wrote = sa.select(sa.func.pg_current_xact_id_if_assigned().is_not(None))
    return len(db.engines) > 1 or (
        connection.dialect.name == "postgresql" and bool(connection.scalar(wrote))
    )


def take_lock(session: Session) -> None:
    """Take the lock by renewing the change tag: every other writer waits.

    :raise RuntimeError: a setting has changed since the mount
    :raise SettingError: the API cannot use this database
    :raise 503: the database was never set up
    """
    check_unchanged()
    check_dialect()
    if connection_of(session).execute(RENEW).rowcount == 0:
        raise not_initialised()
    innermost = session.get_nested_transaction() or session.get_transaction()
    session.info[RENEWED_IN] = innermost


def has_own_binds() -> bool:
    """Return whether the shop itself chooses the database of each statement."""
    chooses = type(current_session()).get_bind.__module__
    return chooses.partition(".")[0] not in {"sqlalchemy", "flask_sqlalchemy"}


def current_session() -> Session:
    # Flask-SQLAlchemy's session is a registry of sessions, Lite's is the session.
    session = current_app.extensions["sqlalchemy"].session
    return cast(Session, session() if callable(session) else session)


def connection_of(
    session: Session, options: Mapping[str, Any] | None = None
) -> sa.Connection:
    """Return the connection of our tables, begun with execution *options*."""
    return session.connection({"mapper": ChangeTag}, options)


def not_set_up() -> str:
    """Return what an operator must do with a database that was never set up."""
    how = NOT_SET_UP if extension().read_engine else NOT_SET_UP_IN_SHOP
    return f"{how} The database is {name()}."


def not_initialised() -> ServiceUnavailable:
    """Log what the operator must do, and return the error for the client."""
    logger.error("%s", not_set_up())
    return ServiceUnavailable("The database is not set up yet.", retry_after=5)


def is_conflict(error: SQLAlchemyError) -> bool:
    """Return whether a transaction failed because of another one.

    That is a serialization failure or a deadlock on PostgreSQL, SQLITE_BUSY on SQLite.
    """
    of_postgresql, of_sqlite = codes_of(error)
    is_busy = of_sqlite & 0xFF == sqlite3.SQLITE_BUSY
    return is_busy or of_postgresql in {"40001", "40P01"}


def is_never_set_up(error: SQLAlchemyError) -> bool:
    """Return whether the SQLite file or a table of the API is missing.

    A table of the shop does not count.
    """
    if isinstance(getattr(error, "orig", None), FileNotFoundError):
        return True
    of_postgresql, _ = codes_of(error)
    reason = reason_of(error)
    is_missing = of_postgresql == "42P01" or "no such table" in reason
    return is_missing and not Base.metadata.tables.keys().isdisjoint(
        re.findall(r"\w+", reason)
    )


def is_outage(error: SQLAlchemyError) -> bool:
    """Return whether the database is unavailable, overloaded or read-only.

    On SQLite a wrong statement is an OperationalError too: that is no outage.
    """
    _, of_sqlite = codes_of(error)
    return isinstance(error, OUTAGES) and of_sqlite != sqlite3.SQLITE_ERROR


def codes_of(error: SQLAlchemyError) -> tuple[str, int]:
    """Return the codes of PostgreSQL ("" if there is none) and of SQLite (or 0)."""
    cause = getattr(error, "orig", None)
    # The attribute of psycopg, or of psycopg2, which a shop may have.
    code = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None) or ""
    return code, getattr(cause, "sqlite_errorcode", 0)


def problem_in(error: SQLAlchemyError) -> str:
    """Return what an operator must know of an error."""
    if is_never_set_up(error):
        return not_set_up()
    return reason_of(error) or repr(error)


def reason_of(error: SQLAlchemyError) -> str:
    """Return the first line of the database's message."""
    return str(getattr(error, "orig", None) or error).partition("\n")[0]
