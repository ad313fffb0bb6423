"""The commands: flask order-statuses ..."""

import json
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from flask import current_app
from flask.cli import AppGroup
from sqlalchemy import Connection, delete, func, select
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import ServiceUnavailable

from . import models, openapi, stock, writing
from .auth import key_hash
from .models import NOT_SET_UP, READER, Key, Store, User, db

if TYPE_CHECKING:
    from alembic.config import Config

HERE = Path(__file__).parent
ADVISORY_LOCK = 2126031207  # any number, the same for every init

STORE_ID = click.IntRange(1, models.MAX_ID)

commands = AppGroup("order-statuses", help="Set up and manage the order statuses.")


@commands.command()
def init() -> None:
    """Create or upgrade the tables, and load the stock data into empty ones."""
    if READER not in current_app.extensions:
        raise click.ClickException("init is for the service alone: use load-stock.")
    with click_errors():
        initialise()
    click.echo("The database is set up.", err=True)


@commands.command("load-stock")
@click.option("--create-tables", is_flag=True, help="Create missing tables first.")
def load(create_tables: bool) -> None:
    """Load the stock data into empty tables that a shop made with its own Alembic."""
    with click_errors(), db.engine.connect() as connection, exclusive(connection):
        if create_tables:
            models.Base.metadata.create_all(connection)
        stock.fill(connection)
    click.echo("The stock data is loaded.", err=True)


@commands.command()
@click.argument("email")
@click.option("--store", type=STORE_ID, help="The one storefront to have access to.")
def add_user(email: str, store: int | None) -> None:
    """Add an API user, or another key for one; print the key."""
    key = secrets.token_urlsafe(24)
    with write_command():
        user = find_user(email) or User(email=parse_email(email), store_id=store)
        if store is not None:
            get_store(store)
            if user.store_id != store:
                raise click.ClickException(f"{email} has access to {access(user)}.")
        user.is_active = True
        db.session.add(user)
        db.session.flush()
        db.session.add(Key(key_hash=key_hash(key), user_id=user.user_id))
        click.echo(f"{email} has access to {access(user)}. The key:", err=True)
    click.echo(key)


@commands.command()
@click.argument("email")
def deactivate_user(email: str) -> None:
    """Deactivate an API user and forget all keys; add-user activates it again."""
    with write_command():
        user = find_user(email)
        if user is None:
            raise click.ClickException(f"There is no API user {email}.")
        user.is_active = False
        db.session.execute(delete(Key).where(Key.user_id == user.user_id))


@commands.command()
@click.argument("store_id", metavar="ID", type=STORE_ID)
@click.argument("name")
def add_store(store_id: int, name: str) -> None:
    """Add a storefront, or rename one."""
    with write_command():
        db.session.merge(Store(store_id=store_id, name=parse_name(name)))


@commands.command("openapi")
def document() -> None:
    """Print the OpenAPI document of the API, of the one mounted first if of several."""
    prefix, list_form = current_app.extensions["order_statuses_mount"]
    server = re.sub("<(?:[^>]*:)?(.+?)>", r"{\1}", prefix.rstrip("/"))
    try:
        described = openapi.describe(list_form, server)
    except ModuleNotFoundError as error:
        raise click.ClickException(str(error)) from error
    click.echo(json.dumps(described, ensure_ascii=False, indent=2))


@contextmanager
def write_command() -> Iterator[None]:
    """Write to the catalogue, with failures in words for an operator."""
    with click_errors(), writing.transaction():
        yield


@contextmanager
def click_errors() -> Iterator[None]:
    """Print failures of the database in words, for an operator."""
    try:
        yield
    except ServiceUnavailable as error:
        raise click.ClickException(NOT_SET_UP) from error
    except SQLAlchemyError as error:
        missing = models.is_table_missing(error)
        reason = NOT_SET_UP if missing else models.reason_of(error)
        raise click.ClickException(f"Nothing was changed. {reason}") from error


def find_user(email: str) -> User | None:
    return db.session.scalar(select(User).where(User.email == email.lower()))


def parse_email(email: str) -> str:
    # HTTP Basic separates the name from the key by a colon.
    right = re.fullmatch(r"[^\s:@]+@[^\s:@]+", email) and email.isprintable()
    if not right or len(email) > 255:
        raise click.ClickException(f"{email!r} is not an e-mail address.")
    return email.lower()


def parse_name(name: str) -> str:
    if not 1 <= len(name.strip()) <= 255:
        raise click.ClickException("A storefront's name has 1 to 255 characters.")
    return name.strip()


def get_store(store_id: int) -> Store:
    store = db.session.get(Store, store_id)
    if store is None:
        raise click.ClickException(f"There is no store {store_id}; add-store adds one.")
    return store


def access(user: User) -> str:
    return "all stores" if user.store_id is None else f"store {user.store_id} alone"


def initialise() -> None:
    """Do what ``init`` does, in one transaction; any number may do it at once."""
    with migrating() as connection:
        upgrade(connection)
        stock.fill(connection)


@contextmanager
def migrating() -> Iterator[Connection]:
    """Connect for a migration, which waits for other migrations."""
    with (
        db.engine.connect() as connection,
        foreign_keys_off(connection),
        exclusive(connection),
    ):
        yield connection


@contextmanager
def foreign_keys_off(connection: Connection) -> Iterator[None]:
    """Let SQLite rebuild a table without emptying others by cascade."""
    if connection.dialect.name != "sqlite":
        yield
        return
    connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        connection.rollback()
        connection.exec_driver_sql("PRAGMA foreign_keys=ON")


@contextmanager
def exclusive(connection: Connection) -> Iterator[None]:
    """Begin a transaction that waits for others like it, and commit it at the end.

    It waits as long as it takes: the timeouts of requests are not for upgrades.
    """
    if connection.dialect.name == "sqlite":
        usual = connection.exec_driver_sql("PRAGMA busy_timeout").scalar()
        connection.exec_driver_sql("PRAGMA busy_timeout = 600000")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {usual}")
    else:
        connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        connection.execute(select(func.pg_advisory_xact_lock(ADVISORY_LOCK)))
    yield
    connection.commit()


def upgrade(connection: Connection) -> None:
    """Bring the tables to the newest migration."""
    from alembic import command  # here, since no request ever needs it
    from alembic.util import CommandError

    try:
        command.upgrade(alembic_config(connection), "head")
    except CommandError as error:
        raise click.ClickException(
            f"The tables cannot be upgraded: {error}. Is the database newer than "
            "this version of the service?"
        ) from error


def alembic_config(connection: Connection) -> "Config":
    """Return what Alembic needs to know to work on *connection*."""
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option(
        "script_location", str(HERE / "migrations").replace("%", "%%")
    )
    return config
