"""A shop with several tenants, each with statuses of its own."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, g, request
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session
from sqlalchemy import Connection, create_engine, event, inspect, text, update

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


def test_tenants_in_databases_of_their_own_are_seeded_each(
    databases: Databases,
) -> None:
    urls = [databases.create(), databases.create()]
    engines = [create_engine(config.database_url(url)) for url in urls]

    class TenantSession(Session):
        def get_bind(self, *_: Any, **__: Any) -> Any:
            return engines[g.tenant]

    tenants = SQLAlchemy(session_options={"class_": TenantSession})
    shop = Flask("shop")
    shop.config["SQLALCHEMY_DATABASE_URI"] = config.database_url(databases.create())
    shop.config["ORDER_STATUSES_IDENTIFY"] = lambda: OWNER
    tenants.init_app(shop)
    mount(shop)
    with shop.app_context():
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
    for engine, url in zip(engines, urls, strict=True):
        engine.dispose()
        databases.drop(url)
