"""The tables, and the database of the running application."""

import json
import logging
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import lru_cache
from sqlite3 import SQLITE_BUSY, SQLITE_ERROR
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy as sa
from flask import current_app, g
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    object_session,
    validates,
)
from werkzeug.exceptions import ServiceUnavailable
from werkzeug.local import LocalProxy

if TYPE_CHECKING:  # a host may have Flask-SQLAlchemy-Lite
    from flask_sqlalchemy import SQLAlchemy

# A host has its own SQLAlchemy, and an application takes only one.
db = cast("SQLAlchemy", LocalProxy(lambda: current_app.extensions["sqlalchemy"]))

READER = "order_statuses_reader"  # the standalone service's own engine for reads
NOT_SET_UP = (
    "The database is not set up: flask order-statuses init does it. In a shop of your "
    "own, your migrations and then flask order-statuses load-stock do it; without "
    "migrations, flask order-statuses load-stock --create-tables."
)

logger = logging.getLogger(__name__)

MAX_ID = 2**63 - 1
TEXTS = ("description", "email_subj", "email_header")
OUTAGES = (
    sa.exc.InterfaceError,
    sa.exc.InternalError,
    sa.exc.OperationalError,
    sa.exc.TimeoutError,
)
RENEWED_IN = "order_statuses_renewed_in"

# SQLite numbers rows by itself only where the key is an INTEGER.
BigId = sa.BigInteger().with_variant(sa.Integer, "sqlite")
Query = sa.Select[*tuple[Any, ...]]


class Base(DeclarativeBase):
    """The base of our tables; a host gives ``Base.metadata`` to its Alembic."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Params(sa.TypeDecorator[dict[str, str]]):
    """JSON with its keys in their order, whatever serializer a host's engine has."""

    impl = sa.JSON  # PostgreSQL's JSONB forgets the order
    cache_ok = True
    # A host's Alembic then writes sa.JSON(), and its migrations need none of our types.
    __module__ = sa.JSON.__module__

    def __repr__(self) -> str:
        return "JSON()"

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[Any], str]:
        return json.dumps


def new_token() -> str:
    # Random: a counter would repeat after a restore.
    return secrets.token_hex(16)


class CatalogueLock(Base):
    """The one row that every write locks first, with a token new in every write."""

    __tablename__ = "order_statuses_catalogue"
    __table_args__ = (sa.CheckConstraint("catalogue_id = 1", name="one_row"),)

    catalogue_id: Mapped[int] = mapped_column(
        sa.Integer, primary_key=True, autoincrement=False, default=1
    )
    token: Mapped[str] = mapped_column(sa.String(32), default=new_token)


class Store(Base):
    """A storefront."""

    __tablename__ = "order_statuses_store"

    store_id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(sa.String(255))

    @validates("store_id")
    def check_id(self, _: str, store_id: int) -> int:
        if type(store_id) is not int or not 1 <= store_id <= MAX_ID:
            raise ValueError(f"A storefront's id is a number from 1, not {store_id!r}.")
        return store_id

    @validates("name")
    def trim_name(self, _: str, name: str) -> str:
        if not isinstance(name, str) or not 1 <= len(name.strip()) <= 255:
            raise ValueError("A storefront's name has 1 to 255 characters.")
        return name.strip()


class Status(Base):
    """What is the same for a status in every language and store."""

    __tablename__ = "order_statuses_status"
    __table_args__ = (
        sa.UniqueConstraint("type", "status"),
        sa.CheckConstraint("is_default IN ('Y', 'N')", name="is_default"),
        {"sqlite_autoincrement": True},  # an id is never used again
    )

    status_id: Mapped[int] = mapped_column(BigId, primary_key=True)
    status: Mapped[str] = mapped_column(sa.String(1))
    type: Mapped[str] = mapped_column(sa.String(1))
    is_default: Mapped[str] = mapped_column(sa.String(1), default="N")
    params: Mapped[dict[str, str]] = mapped_column(Params, default=dict)


class StatusText(Base):
    """The texts of a status in a language; None falls back to another language."""

    __tablename__ = "order_statuses_text"

    status_id: Mapped[int] = mapped_column(
        sa.ForeignKey(Status.status_id, ondelete="CASCADE"), primary_key=True
    )
    lang_code: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    description: Mapped[str | None] = mapped_column(sa.String(255))
    email_subj: Mapped[str | None] = mapped_column(sa.String(255))
    email_header: Mapped[str | None] = mapped_column(sa.Text)


class StoreText(Base):
    """A store's own e-mail texts in a language; None falls back to the common text."""

    __tablename__ = "order_statuses_store_text"

    status_id: Mapped[int] = mapped_column(
        sa.ForeignKey(Status.status_id, ondelete="CASCADE"), primary_key=True
    )
    store_id: Mapped[int] = mapped_column(
        sa.ForeignKey(Store.store_id, ondelete="CASCADE"), primary_key=True, index=True
    )
    lang_code: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    email_subj: Mapped[str | None] = mapped_column(sa.String(255))
    email_header: Mapped[str | None] = mapped_column(sa.Text)


class User(Base):
    """An API user, bound to one store or to none."""

    __tablename__ = "order_statuses_user"

    user_id: Mapped[int] = mapped_column(BigId, primary_key=True)
    email: Mapped[str] = mapped_column(sa.String(255), unique=True)  # in lower case
    store_id: Mapped[int | None] = mapped_column(
        sa.ForeignKey(Store.store_id), index=True
    )
    is_active: Mapped[bool] = mapped_column(default=True)


class Key(Base):
    """An API key, of which only the SHA-256 is known."""

    __tablename__ = "order_statuses_key"

    key_hash: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(
        sa.ForeignKey(User.user_id, ondelete="CASCADE"), index=True
    )
    # None: the key is older than this column.
    created_on: Mapped[date | None] = mapped_column(default=date.today)


TOKEN = sa.select(CatalogueLock.token)
RENEW = sa.update(CatalogueLock).values(
    token=sa.bindparam("new_token", callable_=new_token)
)


def read(
    query: Query, parameters: Mapping[str, Any], is_plain: bool = False
) -> Sequence[Any]:
    """Run a query that begins with the catalogue's token, and note the token.

    Rows of an *is_plain* query may come as the driver has them.

    :raise 503: the catalogue was never initialised
    """
    reader = current_app.extensions.get(READER)
    rows: Sequence[Any]
    # A host's session sees what the host has changed in it, and its tests may have
    # bound it to anything.
    if reader is None or db.session.registry.has():
        # What is read now may be cached: the next change renews the token again.
        db.session.info.pop(RENEWED_IN, None)
        rows = db.session.execute(query, parameters).all()
    elif is_plain:
        rows = fetch(reader, sql_of(query, reader.dialect), parameters)
    else:
        with reader.connect() as connection:
            rows = connection.execute(query, parameters).all()
    if not rows:  # the row with the token is always there, whatever is joined to it
        raise not_initialised()
    g.setdefault("order_statuses_tokens", set()).add(rows[0][0])
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
    return reader or db.session.get_bind(mapper=CatalogueLock).engine


def renew_token(session: Session, connection: sa.Connection) -> bool:
    """Give the catalogue a new token, and note that; say whether there is one."""
    found = connection.execute(RENEW).rowcount > 0
    session.info[RENEWED_IN] = innermost_transaction(session)
    return found


@sa.event.listens_for(Base, "before_insert", propagate=True)
@sa.event.listens_for(Base, "before_update", propagate=True)
@sa.event.listens_for(Base, "before_delete", propagate=True)
def renew_token_of_host(_: Any, connection: sa.Connection, changed: Base) -> None:
    """Renew the token once a transaction when a host changes what a GET shows."""
    session = cast(Session, object_session(changed))
    is_renewed = session.info.get(RENEWED_IN) is innermost_transaction(session)
    if not (is_renewed or isinstance(changed, User | Key | CatalogueLock)):
        renew_token(session, connection)


def innermost_transaction(session: Session) -> object:
    # A savepoint that is rolled back takes its renewal along.
    return session.get_nested_transaction() or session.get_transaction()


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
    """Say whether the database lacks one of our tables; a host's own is the host's."""
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
