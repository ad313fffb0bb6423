"""Alembic's environment: on the connection that ``init`` hands over, or its own."""

from alembic import context
from sqlalchemy import Connection

from order_statuses.database import db
from order_statuses.models import Base


def migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        version_table="order_statuses_alembic",  # others may use Alembic here too
        include_name=lambda name, kind, _: (
            kind != "table" or name in Base.metadata.tables
        ),
        render_as_batch=True,  # SQLite alters little
    )
    with context.begin_transaction():
        context.run_migrations()


if connection := context.config.attributes.get("connection"):
    migrate(connection)
else:  # alembic revision --autogenerate
    from order_statuses.app import create_app

    with create_app().app_context(), db.engine.begin() as connection:
        migrate(connection)
