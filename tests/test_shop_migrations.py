"""The migrations that the Alembic of a shop makes for our tables."""

from typing import Any

import sqlalchemy
from alembic import op
from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext
from alembic.operations import Operations
from flask import Flask
from sqlalchemy import ForeignKey, inspect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.schema import CreateSchema

from order_statuses.models import Base, Status

from .conftest import on_postgresql
from .small_shop import db


def test_migrations_of_the_shop_need_none_of_our_types(empty_shop: Flask) -> None:
    with empty_shop.app_context(), db.engine.connect() as connection:
        context = MigrationContext.configure(connection)
        proposed = produce_migrations(context, Base.metadata).upgrade_ops

    assert proposed is not None
    code = render_python_code(proposed)
    assert "sa.JSON()" in code
    assert "order_statuses.models" not in code


@on_postgresql
def test_tables_of_the_shop_in_a_schema_may_refer_to_ours(empty_shop: Flask) -> None:
    class SalesBase(DeclarativeBase):
        __table_args__ = {"schema": "sales"}  # noqa: RUF012  # as on the page

    class Sale(SalesBase):
        __tablename__ = "sale"
        status_id: Mapped[int] = mapped_column(
            ForeignKey(Status.__table__.c.status_id), primary_key=True
        )

    with empty_shop.app_context(), db.engine.begin() as connection:
        connection.execute(CreateSchema("sales"))
        options = {"include_schemas": True}
        context = MigrationContext.configure(connection, opts=options)
        metadata: Any = [Base.metadata, SalesBase.metadata]
        upgrade: Any = produce_migrations(context, metadata).upgrade_ops
        with Operations.context(context):
            code = render_python_code(upgrade)
            exec(f"if True:\n    {code}", {"op": op, "sa": sqlalchemy})  # noqa: S102
        (foreign_key,) = inspect(connection).get_foreign_keys("sale", "sales")

        assert foreign_key["referred_table"] == Status.__tablename__
        left: Any = produce_migrations(context, metadata).upgrade_ops
        assert left.is_empty()
