"""The tables, and the change tag, which each change of statuses or stores renews."""

import json
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from functools import lru_cache, partial
from typing import Any, ClassVar, cast

import sqlalchemy as sa
from marshmallow import ValidationError, fields
from marshmallow.exceptions import SCHEMA
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    object_session,
    validates,
)

from . import schemas

MAX_ID = 2**63 - 1
TEXTS = ("description", "email_subj", "email_header")
RENEWED_IN = "order_statuses_renewed_in"

# SQLite numbers rows by itself only where the key is an INTEGER.
BigId = sa.BigInteger().with_variant(sa.Integer, "sqlite")


class Base(DeclarativeBase):
    """The base of our tables; a shop gives ``Base.metadata`` to its Alembic."""

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
    """JSON that keeps the order of its keys, whatever the engine's serializer is."""

    impl = sa.JSON  # PostgreSQL's JSONB forgets the order
    cache_ok = True
    # A shop's Alembic then writes sa.JSON(), and its migrations import nothing of us.
    __module__ = sa.JSON.__module__

    def __repr__(self) -> str:
        return "JSON()"

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[Any], str]:
        return json.dumps

    def process_result_value(self, value: Any, _: sa.Dialect) -> dict[str, str]:
        return value if isinstance(value, dict) else {}


# Random: a counter would repeat after a backup is restored.
new_tag = partial(secrets.token_hex, 16)


class ChangeTag(Base):
    """The one row that every write locks first; its tag is new in every write."""

    __tablename__ = "order_statuses_change_tag"
    __table_args__ = (sa.CheckConstraint("change_tag_id = 1", name="one_row"),)

    change_tag_id: Mapped[int] = mapped_column(
        sa.Integer, primary_key=True, autoincrement=False, default=1
    )
    tag: Mapped[str] = mapped_column(sa.String(32), default=new_tag)


class TagAsRead(sa.sql.functions.FunctionElement[str]):
    """The change tag; on PostgreSQL with the table that it is read from.

    Schemas of tenants may be copies, which have the same tag.
    """

    type = sa.String()
    inherit_cache = True


@compiles(TagAsRead)
def compile_tag(tag: TagAsRead, compiler: Any, **options: Any) -> str:
    return cast(str, compiler.process(tag.clauses, **options))


@compiles(TagAsRead, "postgresql")
def compile_tag_and_table(tag: TagAsRead, compiler: Any, **options: Any) -> str:
    column = compile_tag(tag, compiler, **options)
    return f"{column} || ':' || {column.removesuffix('tag')}tableoid"


CURRENT_TAG = TagAsRead(ChangeTag.tag).label("tag")


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


class Checked:
    """A row with the limits of the API.

    A value is checked when it is assigned, and again at the flush. What is stored
    already is not checked: it may be older than a limit.
    """

    rules: "ClassVar[Mapping[str, fields.Field[Any]]]"  # no generic in marshmallow 3

    @validates(
        "status", "type", "is_default", "position", "params", "lang_code", *TEXTS
    )
    def check(self, name: str, value: Any) -> Any:
        before = getattr(self, name)
        is_same = value is not None and value == before
        return value if is_same else self.valid(name, value, before)

    def valid(self, name: str, value: Any, before: Any) -> Any:
        """Return *value* as the API would store it; params may have those of *before*.

        :raise ValueError: the API would refuse it
        """
        try:
            if name != "params":
                return self.rules[name].deserialize(value)
            schemas.check_stored(value, before or {})
        except ValidationError as error:
            problems = error.normalized_messages()  # type: ignore[no-untyped-call]
            words = (f"{n}: {' '.join(found)}" for n, found in problems.items())
            raise ValueError(" ".join(words).replace(SCHEMA, name)) from error
        return value


class Status(Checked, Base):
    """What is the same for a status in every language and store."""

    __tablename__ = "order_statuses_status"
    __table_args__ = (
        sa.UniqueConstraint("type", "status"),
        sa.CheckConstraint("is_default IN ('Y', 'N')", name="is_default"),
        sa.CheckConstraint("position BETWEEN 0 AND 999999", name="position"),
        {"sqlite_autoincrement": True},  # an id is never used again
    )

    status_id: Mapped[int] = mapped_column(BigId, primary_key=True)
    status: Mapped[str] = mapped_column(sa.String(1))
    type: Mapped[str] = mapped_column(sa.String(1))
    is_default: Mapped[str] = mapped_column(sa.String(1), default="N")
    position: Mapped[int] = mapped_column(default=0)  # in lists
    params: Mapped[dict[str, str]] = mapped_column(
        MutableDict.as_mutable(Params), default=dict
    )

    rules = schemas.RowSchema().fields


class FreedLetter(Base):
    """The letter of a deleted status, which orders of that time may still have."""

    __tablename__ = "order_statuses_freed_letter"

    type: Mapped[str] = mapped_column(sa.String(1), primary_key=True)
    status: Mapped[str] = mapped_column(sa.String(1), primary_key=True)
    freed_at: Mapped[datetime]  # in UTC


class StatusText(Checked, Base):
    """The texts of a status in a language; None falls back to another language."""

    __tablename__ = "order_statuses_text"

    status_id: Mapped[int] = mapped_column(
        sa.ForeignKey(Status.status_id, ondelete="CASCADE"), primary_key=True
    )
    lang_code: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    description: Mapped[str | None] = mapped_column(sa.String(255))
    email_subj: Mapped[str | None] = mapped_column(sa.String(255))
    email_header: Mapped[str | None] = mapped_column(sa.Text)

    rules = schemas.RowSchema().fields


class StoreText(Checked, Base):
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

    rules = schemas.StoreTextsSchema().fields


class User(Base):
    """An API user, bound to one store or to none."""

    __tablename__ = "order_statuses_user"

    user_id: Mapped[int] = mapped_column(BigId, primary_key=True)
    email: Mapped[str] = mapped_column(sa.String(255), unique=True)  # in lower case
    store_id: Mapped[int | None] = mapped_column(
        sa.ForeignKey(Store.store_id), index=True
    )
    read_only: Mapped[bool] = mapped_column(default=False)
    is_active: Mapped[bool] = mapped_column(default=True)


class Key(Base):
    """An API key, of which only the SHA-256 is known."""

    __tablename__ = "order_statuses_key"

    key_hash: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(
        sa.ForeignKey(User.user_id, ondelete="CASCADE"), index=True
    )
    # None: the file of users that had the key had no date.
    created_on: Mapped[date | None] = mapped_column(default=date.today)


RENEW = sa.update(ChangeTag).values(tag=sa.bindparam("new_tag", callable_=new_tag))


@sa.event.listens_for(Base, "before_insert", propagate=True)
@sa.event.listens_for(Base, "before_update", propagate=True)
@sa.event.listens_for(Base, "before_delete", propagate=True)
def renew_tag_of_shop(_: Any, connection: sa.Connection, changed: Base) -> None:
    """Renew the change tag, once per transaction, when the ORM changes our rows."""
    session = cast(Session, object_session(changed))
    # A savepoint that is rolled back takes its renewal along.
    innermost = session.get_nested_transaction() or session.get_transaction()
    is_renewed = session.info.get(RENEWED_IN) is innermost
    if not (is_renewed or isinstance(changed, User | Key | ChangeTag)):
        connection.execute(RENEW)
        session.info[RENEWED_IN] = innermost


@sa.event.listens_for(Base, "before_insert", propagate=True)
def check_new(_: Any, __: sa.Connection, new: Base) -> None:
    """Check again what may have been assigned before there was an application."""
    if isinstance(new, Checked):
        for name in new.rules.keys() & vars(new).keys():
            new.valid(name, getattr(new, name), None)


@sa.event.listens_for(Status, "before_update")
def check_params(_: Any, connection: sa.Connection, changed: Status) -> None:
    """Check params again: validators see no change in place."""
    history = sa.inspect(changed).attrs.params.history
    for params in history.added or ():
        old = history.deleted or [stored_params(connection, changed)]
        changed.valid("params", params, old[0])


def stored_params(connection: sa.Connection, status: Status) -> Any:
    """Return the params in the table: a change in place leaves no other trace."""
    query = sa.select(Status.__table__.c.params)
    return connection.scalar(query.filter_by(status_id=status.status_id))


INSERTING: dict[str, Callable[[type[Base]], postgresql.Insert | sqlite.Insert]] = {
    "postgresql": postgresql.insert,
    "sqlite": sqlite.insert,
}


@lru_cache
def upsert(model: type[Base], names: tuple[str, ...], dialect: str) -> sa.Insert:
    """Return a statement that inserts a row, or sets these columns if it is there."""
    new = INSERTING[dialect](model)
    keys = model.__table__.primary_key
    values = {name: new.excluded[name] for name in names}
    return new.on_conflict_do_update(index_elements=keys, set_=values)


# Not after_delete: the letter of an expired object is loaded here.
@sa.event.listens_for(Status, "before_delete")
def note_freed_letter(_: Any, connection: sa.Connection, deleted: Status) -> None:
    """Note when a letter was freed, for each deletion by the ORM."""
    freed_at = datetime.now(UTC).replace(tzinfo=None)
    row = {"type": deleted.type, "status": deleted.status, "freed_at": freed_at}
    statement = upsert(FreedLetter, ("freed_at",), connection.dialect.name)
    connection.execute(statement, row)


@sa.event.listens_for(Status, "before_insert")
def forget_freed_letter(_: Any, connection: sa.Connection, new: Status) -> None:
    """Forget that a letter was freed: a status has it again."""
    row = {"type": new.type, "status": new.status}
    connection.execute(sa.delete(FreedLetter).filter_by(**row))
