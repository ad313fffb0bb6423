"""A shop with several tenants, each with statuses of its own."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, g, request
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session
from sqlalchemy import Connection, Engine, create_engine, event, inspect, text, update

from order_statuses import config, migrations, reading, writing
from order_statuses.models import Base, StatusText

from .conftest import ADMINISTRATOR, KEY, Databases, basic, on_postgresql, settings_of
from .small_shop import OWNER, STATUSES, db, mount


@pytest.fixture
def tenants(shop: Flask) -> Iterator[FlaskClient]:
    """A visitor who names a schema in a header; each is a copy of the default one."""
    with shop.app_context(), db.engine.begin() as connection:
        for schema in ("acme", "globex"):
            connection.execute(text(f"CREATE SCHEMA {schema}"))
            for name in map(str, Base.metadata.sorted_tables):
                copy = f"{schema}.{name} (LIKE {name} INCLUDING ALL)"
                connection.execute(text(f"CREATE TABLE {copy}"))
                rows = f"{schema}.{name} SELECT * FROM {name}"  # noqa: S608
                connection.execute(text(f"INSERT INTO {rows}"))
            described = update(StatusText).values(description=schema)
            own = {"schema_translate_map": {None: schema}}
            connection.execute(described, execution_options=own)

    def choose(_session: Any, _transaction: Any, connection: Connection) -> None:
        schema = request.headers.get("X-Tenant") if request else g.get("schema")
        path = f"SET LOCAL search_path TO {schema or 'public'}"
        connection.exec_driver_sql(path)

    with shop.app_context():
        event.listen(db.session, "after_begin", choose)
    yield shop.test_client()
    event.remove(db.session, "after_begin", choose)


@on_postgresql
@pytest.mark.parametrize(
    "settings", [{}, {"ORDER_STATUSES_IDENTIFY": None}], ids=["shop", "api"]
)
def test_tenants_in_copied_schemas_are_served_their_own(
    tenants: FlaskClient, settings: dict[str, Any]
) -> None:
    settings_of(tenants.application).update(settings)
    headers = {"Authorization": basic(ADMINISTRATOR, KEY + ADMINISTRATOR)}
    for tenant in ("acme", "globex") * 2:
        shown: Any = tenants.get(
            f"{STATUSES}/2", headers={**headers, "X-Tenant": tenant}
        ).json
        assert shown["description"] == tenant


@pytest.fixture
def engines(databases: Databases, template: str) -> Iterator[list[Engine]]:
    """The engines of two databases, which are copies: their change tags are equal."""
    urls = [databases.create(template) for _ in range(2)]
    engines = [create_engine(config.database_url(url)) for url in urls]
    yield engines
    for engine, url in zip(engines, urls, strict=True):
        engine.dispose()
        databases.drop(url)


@pytest.fixture
def shop_of_two(engines: list[Engine]) -> Flask:
    """A shop whose session chooses one of them, and whose default one is empty."""

    class TenantSession(Session):
        def get_bind(self, *_: Any, **__: Any) -> Any:
            return engines[g.tenant]

    shop = Flask("shop")
    shop.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
    shop.config["ORDER_STATUSES_IDENTIFY"] = lambda: OWNER
    SQLAlchemy(shop, session_options={"class_": TenantSession})
    mount(shop)
    return shop


def test_tenants_in_copied_databases_are_served_their_own(
    shop_of_two: Flask, engines: list[Engine]
) -> None:
    for number, engine in enumerate(engines):
        with engine.begin() as connection:
            connection.execute(update(StatusText).values(description=f"In {number}"))
    visitor = shop_of_two.test_client()

    for tenant in (0, 1) * 2:
        with shop_of_two.app_context():
            g.tenant = tenant
            shown: Any = visitor.get(f"{STATUSES}/2").json
            assert shown["description"] == f"In {tenant}"


def test_tenants_in_databases_of_their_own_are_seeded_each(
    shop_of_two: Flask, engines: list[Engine]
) -> None:
    for engine in engines:
        Base.metadata.drop_all(engine)
    tenants = shop_of_two.extensions["sqlalchemy"]
    with shop_of_two.app_context():
        for g.tenant in (0, 1, 1):
            loaded = migrations.seed_statuses(create_tables=True)
            assert len(reading.list_statuses("O")) == 7
        g.tenant = 0
        writing.delete_status(3, caller="nightly job")
        tenants.session.remove()
        g.tenant = 1
        assert len(reading.list_statuses("O")) == 7
        assert inspect(tenants.engine).get_table_names() == []
        tenants.engine.dispose()
    assert not loaded
