"""The tables of the standalone service: create, upgrade, check and fill them.

Functions import Alembic themselves: a shop may not have it.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from sqlalchemy import Connection, false, func, inspect, select, text
from sqlalchemy.exc import OperationalError

from .. import statuses_file
from ..database import (
    check_dialect,
    codes_of,
    connection_of,
    create_file,
    current_session,
    db,
    is_begun,
    not_set_up,
    refuse_changes,
)
from ..models import Base

if TYPE_CHECKING:
    from alembic.config import Config

FOLDER = str(Path(__file__).parent)
ADVISORY_LOCK = 2126031207  # any number, the same for every init
# While a migration waits for a table, requests wait behind it. It waits less than
# deadlock_timeout (1 s), so that in a deadlock it gives way, and not a request.
LOCK_TIMEOUT = "SET LOCAL lock_timeout = '500ms'"
IN_USE = {"55P03", "40P01"}  # lock_not_available, deadlock_detected

# Tables of databases from before the release, which had no order_statuses_alembic.
TABLES_OF_BEFORE = ("order_statuses_version", "order_statuses_catalogue")
FROM_BEFORE = (
    "The database is from before the release, and cannot be upgraded. With SQLite, "
    "remove instance/ (or the file in DATABASE_URL); with PostgreSQL, create a new "
    "database. Then run flask order-statuses init."
)
VERSION = text("SELECT version_num FROM order_statuses_alembic")
# Privileges on PostgreSQL that the service's role needs and does not have.
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


def initialise(file: dict[str, Any] | None = None) -> bool:
    """Create or upgrade the tables, fill empty ones, and return whether they were.

    It is one transaction; any number of processes may do it at once. While others use
    a table that it must change, it begins again every second.
    """
    said: list[str] = []
    while True:
        try:
            with migrating() as connection:
                upgrade(connection)
                return statuses_file.fill(connection, file)
        except OperationalError as error:
            if codes_of(error)[0] not in IN_USE:
                raise
            tables = re.findall(r"\border_statuses_\w+", str(error.statement))
        waits = f"Waiting until nobody uses {', '.join(tables)}; Ctrl-C ends it."
        if waits not in said:
            click.echo(waits, err=True)
            said.append(waits)
        time.sleep(1)


def seed_statuses(create_tables: bool = False) -> bool:
    """Load the default statuses into empty tables, and return whether they were.

    It writes where ``db.session`` does, and commits it. *create_tables* creates missing
    tables first: for tests, and without migrations.

    :raise RuntimeError: the session has changes that are not committed
    """
    refuse_changes()
    create_file()
    try:
        connection = connection_of(current_session())
        wait_for_others(connection)
        if create_tables:
            Base.metadata.create_all(connection)
        check_tables(connection)
        is_loaded = statuses_file.fill(connection)
        db.session.commit()
    except BaseException:
        db.session.rollback()
        raise
    return is_loaded


@contextmanager
def migrating() -> Iterator[Connection]:
    """Connect for a migration, which waits for other migrations."""
    create_file()
    with db.engine.connect() as connection:
        connection.detach()  # from the pool: no request must get this connection
        is_sqlite = connection.dialect.name == "sqlite"
        if is_sqlite:
            # A migration may drop and rebuild a table, which with foreign keys would
            # delete rows of other tables by cascade.
            connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
        with exclusive(connection):
            if not is_sqlite:
                connection.exec_driver_sql(LOCK_TIMEOUT)
            yield connection


@contextmanager
def exclusive(connection: Connection) -> Iterator[None]:
    """Hold a transaction that no other *exclusive* one runs beside, and commit it."""
    wait_for_others(connection)
    yield
    connection.commit()


def wait_for_others(connection: Connection) -> None:
    """Begin a transaction that no other one of these runs beside.

    It waits for the others without the timeouts of requests, on SQLite 10 minutes.
    """
    check_dialect()
    if connection.dialect.name != "sqlite":
        no_timeouts = "SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0"
        connection.exec_driver_sql(no_timeouts)
        connection.execute(select(func.pg_advisory_xact_lock(ADVISORY_LOCK)))
    elif not is_begun(connection):
        usual = connection.exec_driver_sql("PRAGMA busy_timeout").scalar()
        connection.exec_driver_sql("PRAGMA busy_timeout = 600000")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {usual}")


def upgrade(connection: Connection) -> None:
    """Bring the tables to the newest migration, unless a newer program made them.

    Missing tables are created; tables that no migration made are taken over.

    :raise ClickException: the tables are from before the release
    """
    from alembic import command

    found, missing = version_of(connection), missing_tables(connection)
    if found is None and is_from_before(connection):
        raise click.ClickException(FROM_BEFORE)
    if found not in {None, *versions()}:
        return
    is_new = len(missing) == len(Base.metadata.tables)
    migrate = command.upgrade if found or is_new else command.stamp
    migrate(alembic_config(connection), "head")
    Base.metadata.create_all(connection)
    check_tables(connection)
    if missing and not is_new:
        click.echo(f"Missing tables were created: {', '.join(missing)}.", err=True)


def missing_tables(connection: Connection) -> list[str]:
    has_table = inspect(connection).has_table  # in any schema of the search path
    return [name for name in sorted(Base.metadata.tables) if not has_table(name)]


def check_tables(connection: Connection) -> None:
    """Check that the database can hold every text, and has all tables and columns.

    :raise ClickException: its encoding is not UTF8
    :raise DBAPIError: a table or a column is missing
    """
    if connection.dialect.name == "postgresql":
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
        if encoding != "UTF8":
            raise click.ClickException(
                f"The database's encoding is {encoding}, which cannot hold every text. "
                "Create the database with ENCODING 'UTF8'."
            )
    for table in Base.metadata.sorted_tables:
        connection.execute(select(table).where(false()))


def find_problem(connection: Connection) -> str | None:
    """Return what this version lacks in the database and what to do, or None."""
    found, (newest, *older) = version_of(connection), versions()
    if found is None:
        return FROM_BEFORE if is_from_before(connection) else not_set_up()
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


def is_from_before(connection: Connection) -> bool:
    """Return whether a database without a version is from before the release."""
    return any(map(inspect(connection).has_table, TABLES_OF_BEFORE))


@cache
def versions() -> list[str]:
    """Return the versions of the tables that this program knows, the newest first."""
    from alembic.script import ScriptDirectory

    return [script.revision for script in ScriptDirectory(FOLDER).walk_revisions()]


def alembic_config(connection: Connection) -> "Config":
    """Return a configuration of Alembic that works on *connection*."""
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", FOLDER.replace("%", "%%"))
    return config
