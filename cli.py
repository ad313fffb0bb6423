"""The commands: flask order-statuses ..."""

import json
import re
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click
from flask import current_app, g
from flask.cli import AppGroup
from sqlalchemy import Connection, delete, false, func, inspect, select, text
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import BadRequest, ServiceUnavailable

from . import database, models, openapi, statuses_file, writing
from .auth import Caller, key_hash, key_id
from .config import __version__
from .database import NOT_SET_UP, READER, db, transaction
from .models import Key, Store, StoreText, User

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = str(Path(__file__).parent / "migrations")
ADVISORY_LOCK = 2126031207  # any number, the same for every init

STORE_ID = click.IntRange(1, models.MAX_ID)

VERSION = text("SELECT version_num FROM order_statuses_alembic")
# What the role of a service on PostgreSQL needs, and was not granted.
MISSING_GRANTS = text("""
    SELECT privilege || ' on ' || relname
    FROM pg_class, unnest(
        CASE relkind WHEN 'S' THEN '{USAGE,UPDATE}'
        ELSE '{SELECT,INSERT,UPDATE,DELETE}'::text[] END
    ) AS privilege
    WHERE relkind IN ('r', 'S') AND pg_table_is_visible(oid)
    AND relname LIKE 'order\\_statuses\\_%' AND relname <> 'order_statuses_alembic'
    AND NOT CASE relkind WHEN 'S' THEN has_sequence_privilege(oid, privilege)
        ELSE has_table_privilege(oid, privilege) END
    ORDER BY 1
""")


class Commands(AppGroup):
    """Commands that say in words what the database or a file has wrong."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except BadRequest as error:
            reason = error.description
        except ServiceUnavailable:
            reason = NOT_SET_UP
        except SQLAlchemyError as error:
            is_missing = database.is_table_missing(error)
            reason = NOT_SET_UP if is_missing else database.reason_of(error)
        raise click.ClickException(f"Nothing was changed. {reason}")


def print_version(context: click.Context, _: click.Parameter, is_asked: bool) -> None:
    if is_asked:
        click.echo(__version__)
        context.exit()


# click's own version_option reads the environment at import.
@click.group("order-statuses", cls=Commands)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=print_version,
    help="Print the version.",
)
def commands() -> None:
    """Set up and manage the order statuses."""


@commands.command()
@click.argument("file", type=click.File("rb"), required=False)
def init(file: IO[bytes] | None) -> None:
    """Create or upgrade the tables; fill empty ones from FILE or the defaults."""
    if READER not in current_app.extensions:
        raise click.ClickException("init is for the service alone: use seed.")
    is_new = initialise(statuses_file.parse(file.read()) if file else None)
    if problem := find_problem(db.session.connection()):
        raise click.ClickException(problem)
    if file and not is_new:
        click.echo("It is not empty: apply changes what it has.", err=True)
    click.echo("The database is set up.", err=True)


@commands.command()
@click.option("--create-tables", is_flag=True, help="Create missing tables first.")
@click.option("--force", is_flag=True, help="Create them even beside Alembic's.")
def seed(create_tables: bool, force: bool) -> None:
    """Load the default statuses into empty tables, made by a shop's own Alembic."""
    if create_tables and not force and inspect(db.engine).has_table("alembic_version"):
        raise click.ClickException(
            "This database has an alembic_version: create the tables by your own "
            "migrations, then seed them without --create-tables. Alembic would "
            "not notice tables that are there already, and production would have "
            "none. --force creates them nevertheless."
        )
    seed_statuses(create_tables)
    click.echo("The default statuses are loaded.", err=True)


def seed_statuses(create_tables: bool = False) -> None:
    """Load the default statuses into empty tables of the running application.

    *create_tables* creates missing tables first: for tests, and without migrations.
    """
    with db.engine.connect() as connection, exclusive(connection):
        if create_tables:
            models.Base.metadata.create_all(connection)
        check_tables(connection)
        statuses_file.fill(connection)


@commands.command()
@click.argument("email")
@click.option("--store", type=STORE_ID, help="The one storefront to have access to.")
@click.option("--all-stores", is_flag=True, help="Have access to all; a new user has.")
@click.option("--replace", is_flag=True, help="Change what a user has access to.")
def add_user(email: str, store: int | None, all_stores: bool, replace: bool) -> None:
    """Add an API user, or another key for one; print the key."""
    named = [store is not None, all_stores].count(True)
    if named > 1 or (replace and not named):
        raise click.UsageError("Name the access: --store ID or --all-stores.")
    key = secrets.token_urlsafe(24)
    with transaction():
        user = find_user(email) or User(email=parse_email(email), store_id=store)
        if store is not None:
            get_store(store)
        if named and user.store_id != store:
            if not replace:
                now = access(user.store_id)
                problem = f"{email} has access to {now}; --replace changes it."
                raise click.ClickException(problem)
            user.store_id = store
        user.is_active = True
        db.session.add(user)
        db.session.flush()
        stored = key_hash(key)
        db.session.add(Key(key_hash=stored, user_id=user.user_id))
        shown = f"{email} has access to {access(user.store_id)}. Key {key_id(stored)}:"
        click.echo(shown, err=True)
    click.echo(key)


@commands.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
def users(as_json: bool) -> None:
    """List the API users, and the id and day of each of their keys."""
    found = statuses_file.read_users()
    for user in found:
        keys = sorted(user["keys"].items(), key=lambda key: str(key[1]))
        user["keys"] = [{"key_id": key_id(key), "created_on": day} for key, day in keys]
    if as_json:
        click.echo(json.dumps(found, default=str))
        return
    for user in found:
        active = "active" if user["is_active"] else "deactivated"
        keys = [f"{k['key_id']} of {k['created_on'] or '?'}" for k in user["keys"]]
        click.echo("  ".join([user["email"], access(user["store_id"]), active, *keys]))


@commands.command()
@click.argument("name", metavar="KEY_ID")
def revoke_key(name: str) -> None:
    """Forget one API key; users lists their ids."""
    with transaction():
        keys = db.session.scalars(select(Key))
        found = [key for key in keys if key_id(key.key_hash) == name]
        if len(found) != 1:
            raise click.ClickException(f"{len(found)} keys have the id {name!r}.")
        db.session.delete(found[0])


@commands.command()
@click.argument("email")
def deactivate_user(email: str) -> None:
    """Deactivate an API user and forget all keys; add-user activates it again."""
    with transaction():
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
    try:
        store = Store(store_id=store_id, name=name)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    with transaction():
        old = db.session.get(Store, store_id)
        done = f"renamed; it was {old.name!r}" if old else "added"
        db.session.merge(store)
    click.echo(f"Store {store_id} is {done}.", err=True)


@commands.command()
@click.argument("store_id", metavar="ID", type=STORE_ID)
def remove_store(store_id: int) -> None:
    """Remove a storefront, its texts, the users bound to it and their keys."""
    with transaction():
        name = get_store(store_id).name
        texts = select(func.count()).select_from(StoreText).filter_by(store_id=store_id)
        bound = db.session.scalars(select(User.email).filter_by(store_id=store_id))
        parts = f"{db.session.scalar(texts)} texts; users: {', '.join(bound) or 'none'}"
        click.echo(f"Removing store {store_id}, {name!r}, with {parts}.", err=True)
        others = select(Store.store_id).where(Store.store_id != store_id)
        writing.remove_stores_but(db.session.scalars(others).all())


@commands.command()
@click.argument("file", default="-")
@click.option("--users", is_flag=True, help="Add the API users, with keys' hashes.")
def export(file: str, users: bool) -> None:
    """Write the statuses to FILE, or to standard output."""
    if users and file == "-":
        raise click.UsageError("--users needs the name of a new FILE.")
    content, others = statuses_file.export(users), statuses_file.left_out()
    try:
        if users:
            # Only the owner may read it, and the atomic write keeps this mode.
            Path(file).touch(0o600, exist_ok=False)
        with click.open_file(file, "wb", atomic=True) as opened:
            opened.write(content)
    except OSError as error:
        raise click.ClickException(str(error)) from error
    if others:
        click.echo(f"Left out, since not configured: {', '.join(others)}.", err=True)


@commands.command()
@click.argument("file", type=click.File("rb"))
@click.option("--dry-run", is_flag=True, help="Show the plan alone; status 4 if any.")
@click.option("--prune", is_flag=True, help="Delete what FILE does not have.")
@click.option("--users", is_flag=True, help="Add the API users, if there are none.")
def apply(file: IO[bytes], dry_run: bool, prune: bool, users: bool) -> None:
    """Make the statuses those of FILE, completely or not at all."""
    g.order_statuses_caller = Caller("flask order-statuses")
    content = statuses_file.parse(file.read())
    with transaction():
        plan = statuses_file.make_plan(content, prune, users)
        click.echo("\n".join(plan.done + plan.notes))
        if dry_run or not plan.done:
            # Rolled back: nothing changes, not even the change tag.
            raise click.exceptions.Exit(4 if plan.done else 0)
        with click.progressbar(
            plan.changes, file=sys.stderr, hidden=not sys.stderr.isatty()
        ) as bar:
            for old, new in bar:
                statuses_file.write_and_signal(old, new)
        if users:
            statuses_file.add_users(content)


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


def find_user(email: str) -> User | None:
    return db.session.scalar(select(User).where(User.email == email.lower()))


def parse_email(email: str) -> str:
    if not (re.match(statuses_file.EMAIL_ADDRESS, email) and email.isprintable()):
        raise click.ClickException(f"{email!r} is not an e-mail address.")
    return email.lower()


def get_store(store_id: int) -> Store:
    store = db.session.get(Store, store_id)
    if store is None:
        raise click.ClickException(f"There is no store {store_id}; add-store adds one.")
    return store


def access(store_id: int | None) -> str:
    return "all stores" if store_id is None else f"store {store_id} alone"


def initialise(file: dict[str, Any] | None = None) -> bool:
    """Do what ``init`` does, in one transaction; any number may do it at once."""
    with migrating() as connection:
        upgrade(connection)
        return statuses_file.fill(connection, file)


@contextmanager
def migrating() -> Iterator[Connection]:
    """Connect for a migration, which waits for other migrations."""
    with db.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            # It rebuilds a table by dropping it, which would empty others by cascade.
            connection.detach()  # no request is to get this connection
            connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
        with exclusive(connection):
            yield connection


@contextmanager
def exclusive(connection: Connection) -> Iterator[None]:
    """Begin a transaction that waits for others like it, and commit it at the end.

    It waits as long as it takes: the timeouts of requests are not for upgrades.
    """
    if connection.dialect.name == "sqlite":
        usual = connection.exec_driver_sql("PRAGMA busy_timeout").scalar()
        connection.exec_driver_sql("PRAGMA busy_timeout = 600000")
        if connection.connection.in_transaction:  # a shop's listener began one
            connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {usual}")
    else:
        no_timeouts = "SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0"
        connection.exec_driver_sql(no_timeouts)
        connection.execute(select(func.pg_advisory_xact_lock(ADVISORY_LOCK)))
    yield
    connection.commit()


def upgrade(connection: Connection) -> None:
    """Bring the tables to the newest migration, unless a newer program made them.

    Those that are missing are created; those that no migration made are taken over.
    """
    from alembic import command  # here, since no request ever needs it

    found, missing = version_of(connection), missing_tables(connection)
    if found not in {None, *versions()}:
        return
    is_new = len(missing) == len(models.Base.metadata.tables)
    migrate = command.upgrade if found or is_new else command.stamp
    migrate(alembic_config(connection), "head")
    models.Base.metadata.create_all(connection)
    check_tables(connection)
    if missing and not is_new:
        click.echo(f"Missing tables were created: {', '.join(missing)}.", err=True)


def missing_tables(connection: Connection) -> list[str]:
    has_table = inspect(connection).has_table  # in any schema of the search path
    return [name for name in sorted(models.Base.metadata.tables) if not has_table(name)]


def check_tables(connection: Connection) -> None:
    """Refuse a database that cannot hold every text, or lacks a table or a column."""
    if connection.dialect.name == "postgresql":
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
        if encoding != "UTF8":
            raise click.ClickException(
                f"The database's encoding is {encoding}, which cannot hold every text. "
                "Create the database with ENCODING 'UTF8'."
            )
    for table in models.Base.metadata.sorted_tables:
        connection.execute(select(table).where(false()))


def find_problem(connection: Connection) -> str | None:
    """Say what this version lacks in the database, and what to do."""
    found, (newest, *older) = version_of(connection), versions()
    if found is None:
        return NOT_SET_UP
    if found in older:
        return (
            f"The tables are at version {found}, not at {newest}: "
            "flask order-statuses init upgrades them."
        )
    if found == newest and (missing := missing_tables(connection)):
        return f"{', '.join(missing)} is missing: flask order-statuses init creates it."
    if connection.dialect.name == "postgresql":
        if lacking := connection.scalars(MISSING_GRANTS).all():
            return f"The owner of the tables must grant {', '.join(lacking)}."
    return None


def version_of(connection: Connection) -> str | None:
    """Return the version of the tables, or None if there are none."""
    exists = inspect(connection).has_table("order_statuses_alembic")
    return connection.scalar(VERSION) if exists else None


@cache
def versions() -> list[str]:
    """Return the versions of the tables that this program knows, the newest first."""
    from alembic.script import ScriptDirectory  # here, since only probes need it

    return [script.revision for script in ScriptDirectory(MIGRATIONS).walk_revisions()]


def alembic_config(connection: Connection) -> "Config":
    """Return what Alembic needs to know to work on *connection*."""
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", MIGRATIONS.replace("%", "%%"))
    return config
