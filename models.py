"""The tables, writing, and the database of the running application."""

import logging
import re
import secrets
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

from flask import current_app, g
from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Connection,
    ForeignKey,
    Integer,
    MetaData,
    Select,
    String,
    Text,
    UniqueConstraint,
    delete,
    event,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    object_session,
)
from werkzeug.exceptions import BadRequest, NotFound, ServiceUnavailable
from werkzeug.local import LocalProxy

if TYPE_CHECKING:  # a host may have Flask-SQLAlchemy-Lite
    from flask_sqlalchemy import SQLAlchemy

# A host has its own SQLAlchemy, and an application takes only one.
db = cast("SQLAlchemy", LocalProxy(lambda: current_app.extensions["sqlalchemy"]))

ID = re.compile("[1-9][0-9]{0,18}")
MAX_ID = 2**63 - 1
MAX_PARAMS = 64
NOT_SET_UP = (
    "The database is not set up: flask order-statuses init does it "
    "(in a shop of your own: your migrations, then flask order-statuses load-stock)."
)
TEXTS = ("description", "email_subj", "email_header")
# N and T are reserved for hidden order states.
LETTERS = string.ascii_uppercase.replace("N", "").replace("T", "") + string.digits

logger = logging.getLogger(__name__)

# SQLite numbers rows by itself only where the key is an INTEGER.
Id = BigInteger().with_variant(Integer, "sqlite")


Query = Select[*tuple[Any, ...]]
Row = TypeVar("Row", "Status", "Store")


class Base(DeclarativeBase):
    """The base of our tables; a host gives ``Base.metadata`` to its Alembic."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Catalogue(Base):
    """The one row that every write locks first, with a token new in every write."""

    __tablename__ = "order_statuses_catalogue"
    __table_args__ = (CheckConstraint("catalogue_id = 1", name="one_row"),)

    catalogue_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False, default=1
    )
    token: Mapped[str] = mapped_column(String(32))


class Store(Base):
    """A storefront."""

    __tablename__ = "order_statuses_store"

    store_id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(255))


class Status(Base):
    """What is the same for a status in every language and store."""

    __tablename__ = "order_statuses_status"
    __table_args__ = (
        UniqueConstraint("type", "status"),
        CheckConstraint("is_default IN ('Y', 'N')", name="is_default"),
        {"sqlite_autoincrement": True},  # an id is never used again
    )

    status_id: Mapped[int] = mapped_column(Id, primary_key=True)
    status: Mapped[str] = mapped_column(String(1))
    type: Mapped[str] = mapped_column(String(1))
    is_default: Mapped[str] = mapped_column(String(1), default="N")
    # JSON, since PostgreSQL's JSONB forgets the order of the keys.
    params: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)


class StatusText(Base):
    """The texts of a status in a language; None falls back to another language."""

    __tablename__ = "order_statuses_text"

    status_id: Mapped[int] = mapped_column(
        ForeignKey(Status.status_id, ondelete="CASCADE"), primary_key=True
    )
    lang_code: Mapped[str] = mapped_column(String(32), primary_key=True)
    description: Mapped[str | None] = mapped_column(String(255))
    email_subj: Mapped[str | None] = mapped_column(String(255))
    email_header: Mapped[str | None] = mapped_column(Text)


class StoreText(Base):
    """A store's own e-mail texts in a language; None falls back to the common text."""

    __tablename__ = "order_statuses_store_text"

    status_id: Mapped[int] = mapped_column(
        ForeignKey(Status.status_id, ondelete="CASCADE"), primary_key=True
    )
    store_id: Mapped[int] = mapped_column(
        ForeignKey(Store.store_id, ondelete="CASCADE"), primary_key=True, index=True
    )
    lang_code: Mapped[str] = mapped_column(String(32), primary_key=True)
    email_subj: Mapped[str | None] = mapped_column(String(255))
    email_header: Mapped[str | None] = mapped_column(Text)


class User(Base):
    """An API user, bound to one store or to none."""

    __tablename__ = "order_statuses_user"

    user_id: Mapped[int] = mapped_column(Id, primary_key=True)
    email: Mapped[str] = mapped_column(String(255), unique=True)  # in lower case
    store_id: Mapped[int | None] = mapped_column(ForeignKey(Store.store_id), index=True)
    is_active: Mapped[bool] = mapped_column(default=True)


class Key(Base):
    """An API key, of which only the SHA-256 is known."""

    __tablename__ = "order_statuses_key"

    key_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(
        ForeignKey(User.user_id, ondelete="CASCADE"), index=True
    )


def read(query: Query, parameters: Mapping[str, Any]) -> Sequence[Any]:
    """Run a query that begins with the catalogue's token, and note the token.

    :raise 503: the catalogue was never initialised
    """
    rows = fetch(query, parameters)
    if not rows:  # the catalogue's own row is always there, whatever is joined to it
        raise not_initialised()
    g.setdefault("order_statuses_tokens", set()).add(rows[0][0])
    return rows


def fetch(query: Query, parameters: Mapping[str, Any]) -> Sequence[Any]:
    # The service's own engine costs a third of a session; a host's session sees what
    # the host has changed in it, and its tests may have bound it to anything.
    reader = current_app.extensions.get("order_statuses_reader")
    if reader is None or db.session.registry.has():
        return db.session.execute(query, parameters).all()
    with reader.connect() as connection:
        rows: Sequence[Any] = connection.execute(query, parameters).all()
        return rows


def read_token() -> str:
    """Return the catalogue's token as it stands."""
    token: str = read(TOKEN, {})[0][0]
    return token


TOKEN = select(Catalogue.token)


@contextmanager
def writing() -> Iterator[None]:
    """Hold the catalogue's one lock, and commit at the end or roll back.

    Whatever is read inside is the newest there is, and stays so until the commit.

    :raise 503: the catalogue was never initialised
    """
    try:
        lock_catalogue()
        yield
        db.session.commit()
    except BaseException:
        db.session.rollback()
        raise


def lock_catalogue() -> None:
    """Give the catalogue a new token, which makes every other writer wait."""
    # Flask-SQLAlchemy's session is a registry of sessions, Lite's is the session.
    session: Session = db.session() if callable(db.session) else db.session
    if renew_token(session.connection(bind_arguments={"mapper": Catalogue})) == 0:
        raise not_initialised()
    session.info["order_statuses_renewed_in"] = innermost_transaction(session)


def renew_token(connection: Connection) -> int:
    """Give the catalogue a new token; return the number of catalogues, 1 or 0."""
    return connection.execute(update(Catalogue).values(token=new_token())).rowcount


def new_token() -> str:
    # Random: a counter would repeat after a restore.
    return secrets.token_hex(16)


@event.listens_for(Base, "before_insert", propagate=True)
@event.listens_for(Base, "before_update", propagate=True)
@event.listens_for(Base, "before_delete", propagate=True)
def renew_token_of_host(_: Any, connection: Connection, changed: Base) -> None:
    """Renew the token once a transaction when a host changes what a GET shows."""
    session = cast(Session, object_session(changed))
    transaction = innermost_transaction(session)
    renewed_in = session.info.get("order_statuses_renewed_in")
    if (
        not isinstance(changed, User | Key | Catalogue)
        and renewed_in is not transaction
    ):
        renew_token(connection)
        session.info["order_statuses_renewed_in"] = transaction


def innermost_transaction(session: Session) -> object:
    # A savepoint that is rolled back takes its renewal along.
    return session.get_nested_transaction() or session.get_transaction()


def not_initialised() -> ServiceUnavailable:
    """Tell the operator what to do, and return the error that clients see."""
    logger.error(NOT_SET_UP)
    return ServiceUnavailable("The database is not set up yet.", retry_after=5)


def is_table_missing(error: SQLAlchemyError) -> bool:
    """Say whether *error* is PostgreSQL's or SQLite's word for a missing table."""
    cause = getattr(error, "orig", None)
    return getattr(cause, "sqlstate", "") == "42P01" or "no such table" in str(cause)


def id_or_404(text: str, noun: str) -> int:
    """Return the id that *text* spells, for a row called *noun* in the message."""
    # int() would take 007 and other scripts' digits, and a database overflow.
    if not ID.fullmatch(text) or int(text) > MAX_ID:
        raise NotFound(f"There is no such {noun}.")
    return int(text)


def get_or_404(model: type[Row], text: str) -> Row:
    """Return the status or store whose id *text* spells, as it is now."""
    noun = model.__name__.lower()
    found = db.session.get(model, id_or_404(text, noun), populate_existing=True)
    if found is None:
        raise NotFound(f"There is no such {noun}.")
    return found


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


def delete_status(status: Status) -> None:
    """Remove *status* and its texts everywhere.

    :raise 400: a table of the shop's refers to it
    """
    # By hand: a host's SQLite may not enforce foreign keys, nor cascade.
    for texts in (StatusText, StoreText):
        of_status = texts.status_id == status.status_id
        db.session.execute(delete(texts).where(of_status))
    db.session.delete(status)
    try:
        db.session.flush()
    except IntegrityError as error:
        raise BadRequest("The shop still uses this status.") from error
