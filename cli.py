"""The commands: flask order-statuses ..."""

import json
import os
import re
import secrets
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import IO, Any

import click
from flask import g
from flask.cli import AppGroup, ScriptInfo
from marshmallow import ValidationError
from sqlalchemy import delete, func, inspect, select
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import BadRequest, ServiceUnavailable

from . import config, database, migrations, openapi, statuses_file, writing
from .auth import Caller, key_hash, key_id
from .config import __version__, check_unchanged, extension
from .database import db, not_set_up, transaction
from .models import MAX_ID, Key, Store, StoreText, User

STORE_ID = click.IntRange(1, MAX_ID)


class Commands(AppGroup):
    """Commands that end with a message where the database or a file is at fault.

    A shop sees those that it needs.
    """

    def list_commands(self, context: click.Context) -> list[str]:
        app = context.ensure_object(ScriptInfo).load_app()
        is_service = app.extensions["order_statuses"].read_engine is not None
        names = super().list_commands(context)
        return [name for name in names if is_service or name != "init"]

    def invoke(self, context: click.Context) -> Any:
        app = context.ensure_object(ScriptInfo).load_app()
        with app.app_context():
            check_unchanged()
        try:
            return super().invoke(context)
        except BadRequest as error:
            reason = error.description
        except ServiceUnavailable:
            with app.app_context():
                reason = not_set_up()
        except SQLAlchemyError as error:
            with app.app_context():
                reason = database.problem_in(error)
        except UnicodeEncodeError as error:
            if error.reason != "surrogates not allowed":  # the terminal's, not ours
                raise
            reason = "An argument is not UTF-8."
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
    if extension().read_engine is None:
        raise click.ClickException("init is only for the standalone service: use seed.")
    is_new = migrations.initialise(statuses_file.parse(file.read()) if file else None)
    if problem := migrations.find_problem(db.session.connection()):
        raise click.ClickException(problem)
    if file and not is_new:
        click.echo(
            "The database is not empty: FILE was not loaded; use apply.", err=True
        )
    click.echo(f"The database is set up: {database.name()}.", err=True)


@commands.command()
@click.option("--create-tables", is_flag=True, help="Create missing tables first.")
@click.option("--force", is_flag=True, help="Create them even beside Alembic's.")
def seed(create_tables: bool, force: bool) -> None:
    """Load the default statuses into empty tables that a shop's migrations made."""
    connection = database.connection_of(database.current_session())
    is_alembics = inspect(connection).has_table("alembic_version")
    db.session.rollback()
    if create_tables and not force and is_alembics:
        raise click.ClickException(
            "This database has an alembic_version: create the tables by your own "
            "migrations, then seed them without --create-tables. Alembic would "
            "not notice tables that are there already, and production would have "
            "none. --force creates them nevertheless."
        )
    is_loaded = migrations.seed_statuses(create_tables)
    kept = "The tables are not empty: nothing was changed."
    click.echo("The default statuses are loaded." if is_loaded else kept, err=True)


@commands.command()
@click.argument("email")
@click.option("--store", type=STORE_ID, help="Allow this storefront alone.")
@click.option(
    "--all-stores",
    is_flag=True,
    help="Allow all storefronts, the default of a new user.",
)
@click.option("--read-only", is_flag=True, help="Refuse every write.")
def add_user(email: str, store: int | None, all_stores: bool, read_only: bool) -> None:
    """Add an API user, or another key for one; print the key."""
    named = is_store_named(store, all_stores)
    click.echo(f"Database: {database.name()}", err=True)
    key = secrets.token_urlsafe(24)
    with transaction():
        new = {"store_id": store, "read_only": read_only}
        user = find_user(email) or User(email=parse_email(email), **new)
        if store is not None:
            get_store(store)
        if (named and user.store_id != store) or (read_only and not user.read_only):
            now = access(user.store_id, user.read_only)
            problem = f"{email} has access to {now}; move-user changes it."
            raise click.ClickException(problem)
        user.is_active = True
        db.session.add(user)
        db.session.flush()
        stored = key_hash(key)
        db.session.add(Key(key_hash=stored, user_id=user.user_id))
        allowed = access(user.store_id, user.read_only)
    click.echo(f"{email} has access to {allowed}. Key {key_id(stored)}:", err=True)
    click.echo(key)


@commands.command()
@click.argument("email")
@click.option("--store", type=STORE_ID, help="Allow this storefront alone.")
@click.option("--all-stores", is_flag=True, help="Allow all storefronts.")
@click.option("--read-only/--read-write", default=None, help="Refuse or allow writes.")
def move_user(
    email: str, store: int | None, all_stores: bool, read_only: bool | None
) -> None:
    """Change what an API user may do; the keys stay."""
    named = is_store_named(store, all_stores)
    if not named and read_only is None:
        options = "--store ID or --all-stores, --read-only or --read-write"
        raise click.UsageError(f"Name what to change: {options}.")
    with transaction():
        user = get_user(email)
        if store is not None:
            get_store(store)
        if named:
            user.store_id = store
        if read_only is not None:
            user.read_only = read_only
        allowed = access(user.store_id, user.read_only)
    click.echo(f"{email} has access to {allowed}.", err=True)


@commands.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
def users(as_json: bool) -> None:
    """List the API users, and the id and day of each of their keys."""
    found = statuses_file.read_users()
    digits = digits_of(key for user in found for key in user["keys"])
    for user in found:
        keys = sorted(user["keys"].items(), key=lambda key: str(key[1]))
        user["keys"] = [
            {"key_id": key[:digits], "created_on": day} for key, day in keys
        ]
    if as_json:
        click.echo(json.dumps(found, default=str))
        return
    for user in found:
        active = "active" if user["is_active"] else "deactivated"
        keys = [f"{k['key_id']} of {k['created_on'] or '?'}" for k in user["keys"]]
        allowed = access(user["store_id"], user["read_only"])
        click.echo("  ".join([user["email"], allowed, active, *keys]))


@commands.command()
@click.argument("name", metavar="KEY_ID")
def revoke_key(name: str) -> None:
    """Forget one API key; the command users lists their ids."""
    if not re.fullmatch("[0-9a-f]{8,64}", name):
        raise click.UsageError(
            "KEY_ID is 8 to 64 hexadecimal digits; the command users lists the ids."
        )
    is_named = Key.key_hash.startswith(name, autoescape=True)
    query = select(Key.key_hash, User.email).join_from(Key, User).where(is_named)
    with transaction():
        owners = {key: email for key, email in db.session.execute(query)}
        if not owners:
            raise click.ClickException(
                f"No key has the id {name}; the command users lists the ids."
            )
        if len(owners) > 1:
            digits = digits_of(owners)
            which = [f"  {key[:digits]}  {owners[key]}" for key in sorted(owners)]
            problem = f"{len(owners)} keys have the id {name}; use a longer one:"
            raise click.ClickException("\n".join([problem, *which]))
        db.session.execute(delete(Key).where(Key.key_hash.in_(owners)))
    click.echo(f"Key {name} of {owners.popitem()[1]} is revoked.", err=True)


@commands.command()
@click.argument("email")
def deactivate_user(email: str) -> None:
    """Deactivate an API user and forget all keys; add-user activates it again."""
    with transaction():
        user = get_user(email)
        user.is_active = False
        db.session.execute(delete(Key).where(Key.user_id == user.user_id))
    click.echo(f"{email} is deactivated, and has no keys any more.", err=True)


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
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove_store(store_id: int, yes: bool) -> None:
    """Remove a storefront, its texts, the users bound to it and their keys."""
    removed = describe_store(store_id)
    db.session.rollback()  # a question holds nothing in the database
    click.echo(f"To be removed: {removed}.", err=True)
    if not (yes or sys.stdin.isatty()):
        raise click.ClickException("Nothing was changed. Add --yes to remove it.")
    if not yes:
        click.confirm("Remove it?", abort=True, err=True)
    with transaction():
        if describe_store(store_id) != removed:
            problem = "Nothing was changed. The store has changed meanwhile; try again."
            raise click.ClickException(problem)
        writing.remove_stores([store_id])
    click.echo(f"Store {store_id} is removed.", err=True)


@commands.command()
@click.argument("file", default="-")
@click.option(
    "--users", is_flag=True, help="Add the API users, with the hashes of their keys."
)
def export(file: str, users: bool) -> None:
    """Write the statuses to FILE, or to standard output."""
    if users and file == "-":
        raise click.UsageError("--users needs the name of a new FILE.")
    content, others = statuses_file.export(users)
    write(file, content, is_secret=users)
    if others:
        click.echo(f"Left out, since not configured: {', '.join(others)}.", err=True)


@commands.command()
@click.argument("file", type=click.File("rb"))
@click.option(
    "--dry-run",
    is_flag=True,
    help="Only print the plan; exit status 4 if the database differs.",
)
@click.option("--prune", is_flag=True, help="Delete what FILE does not have.")
@click.option("--users", is_flag=True, help="Add the API users, if there are none.")
def apply(file: IO[bytes], dry_run: bool, prune: bool, users: bool) -> None:
    """Make the statuses those of FILE, completely or not at all."""
    g.order_statuses_caller = Caller("flask order-statuses")
    content = statuses_file.parse(file.read())
    with suppress(click.Abort), transaction():
        plan = statuses_file.make_plan(content, prune, users)
        if dry_run or not plan.done:
            raise click.Abort  # which rolls back, the new change tag too
        for change in plan.changes:
            statuses_file.write_and_signal(*change)
        if users:
            statuses_file.add_users(content)
    click.echo("\n".join(plan.done + plan.kept + plan.notes))
    click.echo("dry run: nothing was changed" if dry_run else "applied")
    if dry_run and (plan.done or plan.kept):
        raise click.exceptions.Exit(4)


@commands.command()
@click.argument("url")
@click.option(
    "--user", required=True, metavar="EMAIL", help="A user of all storefronts."
)
@click.option(
    "--languages", metavar="CODES", help="Such as en,de; default: as configured."
)
@click.option("--types", metavar="LETTERS", help="Such as O,G; default: as configured.")
@click.option("--output", "file", default="-", metavar="FILE", help="Write to FILE.")
@click.option("--insecure", is_flag=True, help="Send the key over http:// as well.")
def pull(
    url: str,
    user: str,
    languages: str | None,
    types: str | None,
    file: str,
    insecure: bool,
) -> None:
    """Print the statuses of a live CS-Cart, or of another instance, as export does.

    URL usually ends in /api. The key is read from the environment variable
    ORDER_STATUSES_PULL_KEY, or asked for. What cannot be taken over is named, and the
    exit status is 1.
    """
    try:
        from .pull import Shop  # here, since a shop need not have urllib3
    except ModuleNotFoundError as error:
        raise click.ClickException(f"pull needs {error.name}: install it.") from error
    codes = parse_codes("ORDER_STATUSES_LANGUAGES", languages) or config.languages()
    letters = parse_codes("ORDER_STATUSES_TYPES", types) or config.types()
    prompt = f"API key (or set {config.PULL_KEY})"
    key = os.environ.get(config.PULL_KEY) or click.prompt(
        prompt, hide_input=True, err=True
    )
    shop = Shop(url, user, key, insecure)
    found = statuses_file.accept(shop.read(codes, letters), shop.left_out)
    write(file, statuses_file.encode(found))
    for line in [*shop.notes, *(f"Left out: {place}" for place in shop.left_out)]:
        # The words of a shop must not steer the terminal.
        click.echo("".join(c if c.isprintable() else "?" for c in line), err=True)
    if shop.left_out:
        raise click.exceptions.Exit(1)


@commands.command("openapi")
def document() -> None:
    """Print the OpenAPI document of the API, as it was mounted first."""
    mount = extension()
    server = re.sub("<(?:[^>]*:)?(.+?)>", r"{\1}", mount.prefix.rstrip("/"))
    try:
        described = openapi.describe(mount.list_form, server)
    except ModuleNotFoundError as error:
        raise click.ClickException(str(error)) from error
    click.echo(json.dumps(described, ensure_ascii=False, indent=2))


def write(file: str, content: bytes, is_secret: bool = False) -> None:
    """Write to a file, or to standard output, which is ``-``."""
    try:
        if file == "-":
            click.echo(content, nl=False)
        else:
            statuses_file.write_file(file, content, is_secret)
    except OSError as error:  # which names the file beside
        problem = error.strerror and f"{file} cannot be written: {error.strerror}."
        raise click.ClickException(problem or str(error)) from error


def parse_codes(name: str, given: str | None) -> Any:
    """Parse an option as the setting *name*; None is one that was not given."""
    setting = config.SETTINGS[name]
    try:
        return None if given is None else setting.parse(given)
    except ValueError as error:
        raise click.UsageError(f"{given!r} is not {setting.meaning}.") from error


def find_user(email: str) -> User | None:
    return db.session.scalar(select(User).where(User.email == email.lower()))


def get_user(email: str) -> User:
    user = find_user(email)
    if user is None:
        raise click.ClickException(f"There is no API user {email}.")
    return user


def parse_email(email: str) -> str:
    try:
        parsed: str = statuses_file.Email().deserialize(email)
    except ValidationError as error:
        raise click.ClickException(f"{email!r} is not an e-mail address.") from error
    return parsed


def get_store(store_id: int) -> Store:
    store = db.session.get(Store, store_id)
    if store is None:
        raise click.ClickException(f"There is no store {store_id}; add-store adds one.")
    return store


def describe_store(store_id: int) -> str:
    """Return what is removed with a storefront, which must not be the last one."""
    name = get_store(store_id).name
    others = select(Store.store_id).where(Store.store_id != store_id).limit(1)
    if db.session.scalar(others) is None:
        raise click.ClickException(f"Store {store_id} is the last one; it stays.")
    texts = select(func.count()).select_from(StoreText).filter_by(store_id=store_id)
    bound = select(User.email).filter_by(store_id=store_id).order_by(User.email)
    emails = ", ".join(db.session.scalars(bound)) or "none"
    number = db.session.scalar(texts)
    return f"store {store_id} {name!r}, {number} texts; users: {emails}"


def digits_of(key_hashes: Iterable[str]) -> int:
    """Return how many of their first digits tell keys apart, at least 8.

    >>> digits_of(["1a2b3c4d5e", "1a2b3c4d5f", "ffffffffff"])
    10
    """
    keys = set(key_hashes)
    return next(n for n in range(8, 65) if len({key[:n] for key in keys}) == len(keys))


def is_store_named(store: int | None, all_stores: bool) -> bool:
    """Return whether one of the options --store and --all-stores is given."""
    if store is not None and all_stores:
        raise click.UsageError("Use --store ID or --all-stores, not both.")
    return store is not None or all_stores


def access(store_id: int | None, read_only: bool) -> str:
    """Return what an API user has access to, in words."""
    stores = "all stores" if store_id is None else f"store {store_id} alone"
    return f"{stores}, read-only" if read_only else stores
