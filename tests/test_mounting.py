"""Shops that mount the blueprint beside pages, tables and logins of their own."""

import json
import pickle
import re
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import FrozenInstanceError, asdict
from pathlib import Path
from secrets import token_hex
from types import SimpleNamespace
from typing import Any

import flask_sqlalchemy.session
import flask_sqlalchemy_lite
import pytest
import sqlalchemy
from alembic import op
from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext
from alembic.operations import Operations
from blinker import Signal
from flask import (
    Blueprint,
    Flask,
    Response,
    g,
    got_request_exception,
    render_template_string,
    request,
)
from flask.testing import FlaskClient
from flask_compress import Compress
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session
from flask_wtf import CSRFProtect  # type: ignore[import-untyped]
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    ForeignKey,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    func,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.schema import CreateSchema
from werkzeug.exceptions import Conflict

from order_statuses import auth, config, migrations, reading, writing
from order_statuses.api import create_blueprint, exempt_from_csrf
from order_statuses.auth import Caller
from order_statuses.models import (
    RENEW,
    Base,
    ChangeTag,
    Key,
    Status,
    StatusText,
    Store,
    StoreText,
    User,
)

from .conftest import ADMINISTRATOR, KEY, Databases, basic, settings_of, statements_of
from .test_commands import run

OWNER = Caller("the shop's owner")
STATUSES = "/api/2.0/statuses"
# What has nothing to do with the database runs on one.
on_sqlite = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("databases", ["postgresql"], indirect=True)


class ShopBase(DeclarativeBase):
    pass


class Order(ShopBase):
    """One of the shop's own tables; its status is a letter."""

    __tablename__ = "order"

    order_id: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[str]


class Label(ShopBase):
    """One of the shop's own tables, which refers to ours."""

    __tablename__ = "label"

    status_id: Mapped[int] = mapped_column(
        ForeignKey(Status.status_id), primary_key=True
    )


db = SQLAlchemy(model_class=ShopBase)


def build_shop(url: str = "sqlite://", **settings: Any) -> Flask:
    """Make a shop whose every visitor is its owner, without the API."""
    shop = Flask("shop")
    shop.config["SQLALCHEMY_DATABASE_URI"] = url.replace(
        "postgresql://", "postgresql+psycopg://"
    )
    shop.config["ORDER_STATUSES_IDENTIFY"] = lambda: OWNER
    shop.config.update(settings)
    db.init_app(shop)
    return shop


def mount(shop: Flask) -> None:
    shop.register_blueprint(create_blueprint(), url_prefix="/api/2.0")


@contextmanager
def open_shop(url: str, **settings: Any) -> Iterator[Flask]:
    """Open a shop that has mounted the API, and close its connections."""
    shop = build_shop(url, **settings)
    mount(shop)
    yield shop
    with shop.app_context():
        db.engine.dispose()


@pytest.fixture
def empty_shop(empty_database: str) -> Iterator[Flask]:
    """A shop that has no tables yet."""
    with open_shop(empty_database) as shop:
        yield shop


@pytest.fixture
def shop(database: str) -> Iterator[Flask]:
    """A shop with its own tables beside ours."""
    with open_shop(database) as shop:
        with shop.app_context():
            db.create_all()
        yield shop


@pytest.fixture
def visitor(shop: Flask) -> FlaskClient:
    return shop.test_client()


def count_statuses(shop: Flask) -> int:
    statuses: list[object] = shop.test_client().get(STATUSES).get_json()
    return len(statuses)


def test_statuses_are_seeded_without_migrations(empty_shop: Flask) -> None:
    loaded = run(empty_shop, "seed", "--create-tables")

    assert loaded.exit_code == 0, loaded.output
    assert count_statuses(empty_shop) == 7


def test_statuses_are_seeded_once(empty_shop: Flask) -> None:
    run(empty_shop, "seed", "--create-tables")
    empty_shop.test_client().delete(f"{STATUSES}/3")

    assert run(empty_shop, "seed", "--create-tables").exit_code == 0
    assert count_statuses(empty_shop) == 6


def test_seed_says_what_it_did(empty_shop: Flask) -> None:
    loaded = run(empty_shop, "seed", "--create-tables")
    kept = run(empty_shop, "seed")

    assert loaded.stderr == "The default statuses are loaded.\n"
    assert kept.stderr == "The tables are not empty: nothing was changed.\n"


def test_seed_refuses_to_commit_what_the_shop_has_begun(shop: Flask) -> None:
    with shop.app_context():
        db.session.add(Order(status="B"))
        with pytest.raises(RuntimeError, match="your own changes first"):
            migrations.seed_statuses()
        assert db.session.new


def test_seed_writes_to_the_database_that_the_session_chooses(
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


def test_seed_needs_tables(empty_shop: Flask) -> None:
    refused = run(empty_shop, "seed")

    assert refused.exit_code == 1
    assert "your migrations and then flask order-statuses seed" in refused.output
    with empty_shop.app_context():
        assert inspect(db.engine).get_table_names() == []


def test_seed_needs_every_table(empty_shop: Flask) -> None:
    run(empty_shop, "seed", "--create-tables")
    with empty_shop.app_context(), db.engine.begin() as connection:
        connection.execute(text("DROP TABLE order_statuses_key"))
    refused = run(empty_shop, "seed")

    assert refused.exit_code == 1
    assert "seed --create-tables" in refused.output
    assert run(empty_shop, "seed", "--create-tables").exit_code == 0


def test_init_leaves_the_tables_of_a_shop_alone(empty_shop: Flask) -> None:
    run(empty_shop, "seed", "--create-tables")
    refused = run(empty_shop, "init")

    assert (refused.exit_code, type(refused.exception)) == (1, SystemExit)
    assert "use seed" in refused.output
    assert "  init " not in run(empty_shop, "--help").output
    with empty_shop.app_context():
        assert "order_statuses_alembic" not in inspect(db.engine).get_table_names()


def test_log_says_what_a_shop_needs(
    empty_shop: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    assert empty_shop.test_client().get(STATUSES).status_code == 503
    assert "flask order-statuses seed" in caplog.text
    assert "flask order-statuses init" not in caplog.text


def test_commands_need_the_seed(empty_shop: Flask) -> None:
    with empty_shop.app_context():
        Base.metadata.create_all(db.engine)
    refused = run(empty_shop, "add-store", "2", "Outlet")

    assert refused.exit_code == 1
    assert "flask order-statuses seed" in refused.output


def test_shop_may_have_its_database_in_memory() -> None:
    with open_shop("sqlite://") as shop:
        assert run(shop, "seed", "--create-tables").exit_code == 0
        assert count_statuses(shop) == 7
        shop.test_client().delete(f"{STATUSES}/3")
        assert count_statuses(shop) == 6


def begin_at_once(engine: Engine) -> None:
    """Have SQLAlchemy begin SQLite's transactions, as its documentation shows.

    Without this, the driver begins them late, and savepoints do not work.
    """
    event.listen(engine, "connect", lambda c, _: setattr(c, "isolation_level", None))
    event.listen(engine, "begin", lambda c: c.exec_driver_sql("BEGIN"))


@on_sqlite
def test_statuses_are_seeded_where_the_shop_begins_transactions(
    empty_shop: Flask,
) -> None:
    with empty_shop.app_context():
        begin_at_once(db.engine)
    loaded = run(empty_shop, "seed", "--create-tables")

    assert loaded.exit_code == 0, loaded.output
    assert count_statuses(empty_shop) == 7


# Since Python 3.12, the driver has a mode in which a transaction is always open.
@on_sqlite
@pytest.mark.parametrize(
    "mode", [{}, *[{"autocommit": False}] * (sys.version_info >= (3, 12))]
)
def test_statuses_are_seeded_in_every_mode_of_the_driver(
    empty_database: str, mode: dict[str, Any]
) -> None:
    options = {"connect_args": mode}
    with open_shop(empty_database, SQLALCHEMY_ENGINE_OPTIONS=options) as shop:
        loaded = run(shop, "seed", "--create-tables")

        assert loaded.exit_code == 0, loaded.output
        assert count_statuses(shop) == 7


def test_statuses_are_seeded_by_one_call(empty_shop: Flask) -> None:
    with empty_shop.app_context():
        with pytest.raises(DBAPIError):
            migrations.seed_statuses()
        migrations.seed_statuses(create_tables=True)
        migrations.seed_statuses()

    assert count_statuses(empty_shop) == 7


def test_tables_are_not_created_beside_those_of_alembic(empty_shop: Flask) -> None:
    with empty_shop.app_context(), db.engine.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num TEXT)"))
    refused = run(empty_shop, "seed", "--create-tables")

    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "create the tables by your own migrations" in refused.stderr
    with empty_shop.app_context():
        assert inspect(db.engine).get_table_names() == ["alembic_version"]

    forced = run(empty_shop, "seed", "--create-tables", "--force")
    assert forced.exit_code == 0, forced.output
    assert count_statuses(empty_shop) == 7


def test_created_status_follows_the_seeded_ones(empty_shop: Flask) -> None:
    run(empty_shop, "seed", "--create-tables")
    created = empty_shop.test_client().post(STATUSES, json={"description": "Packed"})

    assert created.json == {"statuses_id": "12", "status_id": "12"}


# Tenants.


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


def test_warm_read_through_the_session_of_a_shop_is_one_statement(
    shop: Flask, visitor: FlaskClient
) -> None:
    visitor.get(STATUSES)

    with statements_of(shop) as warm:
        visitor.get(STATUSES)

    assert len(warm) == 1


# Mounting.


def test_shops_own_response_is_left_alone(shop: Flask) -> None:
    pages = ["<h1>Back soon</h1>"]

    @shop.before_request
    def maintain() -> str | None:
        return pages[0] if pages else None

    with shop.app_context():  # which requests share then
        closed = shop.test_client().get("/api/2.0/statuses")
        pages.clear()
        opened = shop.test_client().get("/api/2.0/statuses")
        pages.append("<h1>Back soon</h1>")
        again = shop.test_client().get(
            "/api/2.0/statuses", headers={"Accept": "text/html"}
        )
        pages.clear()

    assert (closed.status_code, closed.text) == (200, "<h1>Back soon</h1>")
    assert (again.status_code, again.text) == (200, "<h1>Back soon</h1>")
    assert "ETag" not in again.headers
    assert opened.json == shop.test_client().get("/api/2.0/statuses").json


def test_shop_keeps_its_settings() -> None:
    shop = build_shop()
    before = dict(shop.config)
    mount(shop)
    after = dict(shop.config)

    assert {k: v for k, v in after.items() if k not in config.SETTINGS} == {
        k: v for k, v in before.items() if k not in config.SETTINGS
    }


@on_sqlite
def test_shop_keeps_its_own_error_pages(shop: Flask, visitor: FlaskClient) -> None:
    shop.register_error_handler(404, lambda error: ("<h1>Sorry</h1>", 404))

    assert visitor.get("/nothing").text == "<h1>Sorry</h1>"
    assert visitor.get("/api/2.0x").text == "<h1>Sorry</h1>"
    assert visitor.get("/api/2.0/nothing").json == {
        "message": "Not Found: There is nothing at this address.",
        "status": 404,
    }


@on_sqlite
def test_wrong_method_below_a_shared_prefix_names_each_method_once(
    shop: Flask, visitor: FlaskClient
) -> None:
    shop.add_url_rule("/api/2.0/orders", view_func=lambda: "x", methods=["GET", "POST"])
    refused = visitor.patch("/api/2.0/orders")

    assert visitor.post("/api/2.0/orders").text == "x"
    assert (refused.status_code, refused.get_json()["message"]) == (
        405,
        "Method Not Allowed: Use one of GET, HEAD, POST, OPTIONS.",
    )


@on_sqlite
def test_preflight_shows_no_address_and_no_method_of_the_shop(
    shop: Flask, visitor: FlaskClient
) -> None:
    settings_of(shop)["ORDER_STATUSES_IDENTIFY"] = lambda: None
    for address in ("/api/2.0/orders", "/api/2.0/statuses/sort"):
        options: dict[str, Any] = {"provide_automatic_options": False}
        shop.add_url_rule(address, address[-4:], str, methods=["POST"], **options)
    asked = {"Origin": "https://a", "Access-Control-Request-Method": "POST"}
    hidden = visitor.options("/api/2.0/orders", headers=asked)
    shared = visitor.options("/api/2.0/statuses/sort", headers=asked)

    assert (hidden.status_code, "Allow" in hidden.headers) == (401, False)
    assert shared.headers["Allow"] == "GET, HEAD, PUT, DELETE, OPTIONS"


@on_sqlite
def test_failure_is_json_below_the_prefix_whatever_the_shop_does_with_exceptions(
    shop: Flask, visitor: FlaskClient
) -> None:
    reported = []
    shop.testing = False
    shop.register_error_handler(Exception, lambda error: ("<h1>Sorry</h1>", 500))
    settings_of(shop)["ORDER_STATUSES_IDENTIFY"] = lambda: 1 / 0
    shop.add_url_rule("/page", view_func=lambda: str(1 / 0))

    def report(_: Flask, exception: Exception, **__: Any) -> None:
        reported.append(type(exception))

    with got_request_exception.connected_to(report, shop):
        failed = visitor.get(STATUSES)

    assert (failed.status_code, (failed.json or {})["status"]) == (500, 500)
    assert reported == [ZeroDivisionError]  # to Sentry, for example
    assert visitor.get("/page").text == "<h1>Sorry</h1>"


@on_sqlite
def test_mounts_have_their_own_list_form(shop: Flask, visitor: FlaskClient) -> None:
    envelopes = create_blueprint("envelopes", list_form="envelope")
    shop.register_blueprint(envelopes, url_prefix="/envelopes")

    assert len(visitor.get(STATUSES).get_json()) == 7
    assert len(visitor.get("/envelopes/statuses").get_json()["statuses"]) == 7


@on_sqlite
def test_blueprint_lives_below_another(shop: Flask, visitor: FlaskClient) -> None:
    pages = Blueprint("pages", __name__, url_prefix="/pages")
    pages.add_url_rule("/<path:page>", view_func=lambda page: f"<h1>{page}</h1>")
    pages.register_blueprint(create_blueprint("inner"), url_prefix="/api")
    shop.register_blueprint(pages)
    created = visitor.post("/pages/api/statuses", json={"description": "Packed"})

    assert created.headers["Location"] == "/pages/api/statuses/12"
    assert visitor.get("/pages/api/nothing").get_json()["status"] == 404
    assert visitor.get("/pages/about").text == "<h1>about</h1>"


@pytest.mark.parametrize(
    "name", ["ORDER_STATUSES_IDENTIFY", "ORDER_STATUSES_COUNT_ORDERS"]
)
def test_hook_of_the_shop_is_a_callable(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        mount(build_shop(**{name: "shop.views.function"}))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ORDER_STATUSES_LANGAUGES", "is ORDER_STATUSES_LANGUAGES meant?"),
        ("ORDER_STATUSES_LIST_FORM", "it is one of the standalone service."),
    ],
)
def test_unknown_setting_stops_the_mount(name: str, hint: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} is no setting here; ") as stopped:
        mount(build_shop(**{name: "x"}))

    assert str(stopped.value).endswith(hint)


@pytest.mark.parametrize("settings", [{}, {"SQLALCHEMY_BINDS": {"x": "sqlite://"}}])
def test_mount_needs_a_default_database(settings: dict[str, Any]) -> None:
    shop = Flask("shop")
    shop.config.update(settings)
    if settings:
        SQLAlchemy(shop)

    with pytest.raises(ValueError, match=r"Flask-SQLAlchemy.*call db.init_app\(app\)"):
        mount(shop)


def test_mount_needs_a_default_engine_of_flask_sqlalchemy_lite() -> None:
    shop = Flask("shop")
    shop.config["SQLALCHEMY_ENGINES"] = {"x": "sqlite://"}
    flask_sqlalchemy_lite.SQLAlchemy(require_default_engine=False).init_app(shop)

    with pytest.raises(ValueError, match="the default database"):
        mount(shop)


# The lock of the API holds on two kinds of databases. Nothing here connects to a third.

MYSQL = "mysql+pymysql://shop@127.0.0.1:1/shop"
NOT_ON_MYSQL = (
    "The API would lose changes on mysql: run the standalone service beside the shop, "
    "on SQLite or PostgreSQL."
)


class SessionOfTheShop(flask_sqlalchemy.session.Session):
    """A session that chooses a database by itself, with MySQL as the usual one."""

    def get_bind(self, *_: Any, **__: Any) -> Engine:
        engines = self._db.engines
        return engines.get("elsewhere") or engines[None]


def shop_on_mysql(**binds: str) -> Flask:
    shop = Flask("shop")
    shop.config["SQLALCHEMY_DATABASE_URI"] = MYSQL
    shop.config["SQLALCHEMY_BINDS"] = binds
    shop.config["ORDER_STATUSES_IDENTIFY"] = lambda: OWNER
    SQLAlchemy(shop, session_options={"class_": SessionOfTheShop})
    mount(shop)
    return shop


def test_mount_refuses_other_databases() -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(NOT_ON_MYSQL)}$"):
        mount(build_shop(MYSQL))


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_request_refuses_a_database_that_the_shop_chooses_itself(
    caplog: pytest.LogCaptureFixture, method: str
) -> None:
    visitor = shop_on_mysql().test_client()
    refused = visitor.open(STATUSES, method=method, json={"description": "Packed"})

    assert refused.status_code == 500
    assert NOT_ON_MYSQL in caplog.text


@on_sqlite
def test_shop_on_mysql_may_have_the_statuses_elsewhere(database: str) -> None:
    visitor = shop_on_mysql(elsewhere=database).test_client()

    assert visitor.delete(f"{STATUSES}/3").status_code == 204
    assert len(visitor.get(STATUSES).get_json()) == 6


def test_csrf_exemption_comes_after_the_mounts() -> None:
    shop = build_shop()
    csrf = CSRFProtect()
    with pytest.raises(ValueError, match="after the API is mounted"):
        exempt_from_csrf(shop, csrf)

    mount(shop)
    exempt_from_csrf(shop, csrf)
    with pytest.raises(ValueError, match="before exempt_from_csrf"):
        shop.register_blueprint(create_blueprint("another"), url_prefix="/another")


def test_applications_share_nothing(tmp_path: Path) -> None:
    urls = [f"sqlite:///{tmp_path / name}.db" for name in "ab"]
    with open_shop(urls[0]) as shop, open_shop(urls[1]) as other:
        for each in (shop, other):
            run(each, "seed", "--create-tables")
            each.test_client().get(STATUSES)
        shop.test_client().delete(f"{STATUSES}/3")

        assert (count_statuses(shop), count_statuses(other)) == (6, 7)


def test_shop_may_have_flask_sqlalchemy_lite(database: str) -> None:
    shop = Flask("shop")
    shop.config["SQLALCHEMY_ENGINES"] = {"default": config.database_url(database)}
    shop.config["ORDER_STATUSES_IDENTIFY"] = lambda: OWNER
    lite = flask_sqlalchemy_lite.SQLAlchemy(require_default_engine=False)
    lite.init_app(shop)
    shop.register_blueprint(create_blueprint(), url_prefix="/api/2.0")
    shop.test_client().delete(f"{STATUSES}/3")

    assert run(shop, "seed").exit_code == 0
    assert count_statuses(shop) == 6
    with shop.app_context():
        lite.engine.dispose()


# Who is calling.


@on_sqlite
def test_stranger_is_unknown_to_the_login_of_the_shop(
    shop: Flask, visitor: FlaskClient
) -> None:
    settings_of(shop)["ORDER_STATUSES_IDENTIFY"] = lambda: None
    refused = visitor.get(STATUSES)

    assert refused.json == {
        "message": "Unauthorized: The shop's login does not know who is calling.",
        "status": 401,
    }
    # For Basic, browsers would open a dialog of their own.
    assert "WWW-Authenticate" not in refused.headers


@on_sqlite
def test_shop_may_ask_our_api_users_too(shop: Flask, visitor: FlaskClient) -> None:
    settings_of(shop)["ORDER_STATUSES_IDENTIFY"] = auth.identify_user
    known = {"Authorization": basic(ADMINISTRATOR, KEY + ADMINISTRATOR)}

    assert visitor.get(STATUSES, headers=known).status_code == 200
    refused = visitor.get(STATUSES)
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Basic ")


@on_sqlite
def test_shop_that_names_no_callers_has_our_api_users(
    shop: Flask, visitor: FlaskClient
) -> None:
    settings_of(shop)["ORDER_STATUSES_IDENTIFY"] = None

    assert visitor.get(STATUSES).status_code == 401


@on_sqlite
@pytest.mark.parametrize(
    "identify", [lambda: SimpleNamespace(name="a user", store_id=None), lambda: 1 / 0]
)
def test_mistake_of_the_shop_admits_nobody(
    shop: Flask, visitor: FlaskClient, identify: Callable[[], Any]
) -> None:
    settings_of(shop)["ORDER_STATUSES_IDENTIFY"] = identify
    shop.register_error_handler(500, lambda error: ("<h1>Sorry</h1>", 500))
    refused = visitor.get(STATUSES)

    assert (refused.status_code, refused.get_json()["status"]) == (500, 500)


@on_sqlite
def test_functions_of_the_shop_may_be_asynchronous(database: str) -> None:
    async def identify() -> Caller:
        return OWNER

    async def count_orders(_: reading.OrderStatus) -> int:
        return orders.pop()

    async def note(_: Flask, caller: Caller, **__: Any) -> None:
        noted.append(caller)

    orders, noted = [0, 1], list[Caller]()
    hooks = {"IDENTIFY": identify, "COUNT_ORDERS": count_orders}
    settings = {f"ORDER_STATUSES_{name}": hook for name, hook in hooks.items()}
    with open_shop(database, **settings) as shop:
        visitor = shop.test_client()
        with writing.status_deleted.connected_to(note, shop):
            deleted = [visitor.delete(f"{STATUSES}/3").status_code for _ in range(2)]

    assert (deleted, noted) == ([400, 204], [OWNER])


@on_sqlite
def test_csrf_protection_is_lifted_by_one_call(
    shop: Flask, visitor: FlaskClient
) -> None:
    shop.secret_key = token_hex()
    csrf = CSRFProtect(shop)
    shop.add_url_rule("/order", view_func=lambda: "ordered", methods=["POST"])
    packed = {"description": "Packed"}
    guarded = visitor.post(STATUSES, json=packed)
    exempt_from_csrf(shop, csrf)

    assert (guarded.status_code, guarded.get_json()["status"]) == (400, 400)
    assert visitor.post(STATUSES, json=packed).status_code == 201
    assert visitor.post("/api/2.0/stores").status_code == 405
    assert visitor.put(f"{STATUSES}/2", data={"description": "x"}).status_code == 200
    foreign = {"Origin": "https://evil.example"}
    assert visitor.post(STATUSES, json=packed, headers=foreign).status_code == 403
    assert visitor.post("/order").status_code == 400


@pytest.mark.parametrize(
    "statement",
    ["SELECT 1 FROM visit", "SELECT 1 FROM order_statuses_status, visit"],
)
def test_missing_table_of_the_shop_is_an_error_of_the_shop(
    shop: Flask, visitor: FlaskClient, caplog: pytest.LogCaptureFixture, statement: str
) -> None:
    settings_of(shop)["ORDER_STATUSES_IDENTIFY"] = lambda: db.session.execute(
        text(statement)
    )
    refused = visitor.get(STATUSES)

    assert (refused.status_code, refused.get_json()["status"]) == (500, 500)
    assert "visit" in caplog.text
    assert "not set up" not in caplog.text


@pytest.mark.parametrize("kind", [Exception, SQLAlchemyError])
def test_error_of_the_shop_is_json_and_reaches_its_log(
    shop: Flask,
    visitor: FlaskClient,
    caplog: pytest.LogCaptureFixture,
    kind: type[Exception],
) -> None:
    def fail() -> Caller:
        raise kind("a mistake of the shop")

    shop.register_error_handler(Exception, lambda error: "<h1>Sorry</h1>")
    settings_of(shop)["ORDER_STATUSES_IDENTIFY"] = fail
    refused = visitor.get(STATUSES)

    assert (refused.status_code, refused.get_json()["status"]) == (500, 500)
    assert "a mistake of the shop" in caplog.text


# The veto.


def set_veto(shop: Flask, count_orders: Callable[[reading.OrderStatus], int]) -> None:
    settings_of(shop)["ORDER_STATUSES_COUNT_ORDERS"] = count_orders


def count_orders(status: reading.OrderStatus) -> int:
    same = Order.status == status.status
    return db.session.scalar(select(func.count()).where(same)) or 0


def add_order(shop: Flask, status: str) -> None:
    with shop.app_context():
        db.session.add(Order(status=status))
        db.session.commit()


def test_status_in_use_is_not_deleted(shop: Flask, visitor: FlaskClient) -> None:
    set_veto(shop, count_orders)
    add_order(shop, "B")
    refused = visitor.delete(f"{STATUSES}/3")

    assert (refused.status_code, refused.json) == (
        400,
        {
            "message": "Bad Request: Orders use this status: 1. "
            "Give them another first.",
            "status": 400,
        },
    )
    assert visitor.get(f"{STATUSES}/3").status_code == 200


def test_status_that_no_order_uses_is_deleted(
    shop: Flask, visitor: FlaskClient
) -> None:
    set_veto(shop, count_orders)
    add_order(shop, "P")

    assert visitor.delete(f"{STATUSES}/3").status_code == 204
    assert visitor.get(f"{STATUSES}/3").status_code == 404


@on_sqlite
@pytest.mark.parametrize("error", [RuntimeError("away"), Conflict("no")])
def test_veto_that_fails_deletes_nothing(
    shop: Flask,
    visitor: FlaskClient,
    error: Exception,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(status: reading.OrderStatus) -> int:
        raise error

    set_veto(shop, fail)
    refused = visitor.delete(f"{STATUSES}/3")

    assert (refused.status_code, refused.get_json()["status"]) == (503, 503)
    assert visitor.get(f"{STATUSES}/3").status_code == 200
    assert "ORDER_STATUSES_COUNT_ORDERS failed" in caplog.text


@on_sqlite
def test_default_status_needs_no_veto(shop: Flask, visitor: FlaskClient) -> None:
    set_veto(shop, lambda status: pytest.fail("the shop was asked"))

    assert visitor.delete(f"{STATUSES}/1").status_code == 400


def test_foreign_key_of_the_shop_is_a_veto(shop: Flask, visitor: FlaskClient) -> None:
    with shop.app_context():
        if db.engine.dialect.name == "sqlite":
            event.listen(db.engine, "connect", enforce_foreign_keys)
            db.engine.dispose()
        db.session.add(Label(status_id=3))
        db.session.commit()

    assert visitor.delete(f"{STATUSES}/3").status_code == 400
    assert visitor.get(f"{STATUSES}/3").status_code == 200


def enforce_foreign_keys(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA foreign_keys=ON")


def test_deleted_status_leaves_no_texts(shop: Flask, visitor: FlaskClient) -> None:
    visitor.put("/api/2.0/stores/1/statuses/3", json={"email_subj": "of a store"})
    visitor.delete(f"{STATUSES}/3")
    with shop.app_context():
        for texts in (StatusText, StoreText):
            assert 3 not in db.session.scalars(select(texts.status_id)).all()


# Signals.

Values = dict[str, Any]


@contextmanager
def receiving(signal: Signal, shop: Flask) -> Iterator[list[Values]]:
    """Collect what *signal* sends for *shop*."""
    received: list[Values] = []

    def receive(sender: Flask, **values: Any) -> None:
        assert sender is shop
        received.append(values)

    with signal.connected_to(receive, shop):
        yield received


def test_signal_is_sent_for_a_created_status(shop: Flask, visitor: FlaskClient) -> None:
    with receiving(writing.status_created, shop) as received:
        visitor.post(STATUSES, json={"description": "Packed"})

    (values,) = received
    assert (values["caller"], values["store_id"]) == (OWNER, None)
    shown = visitor.get(f"{STATUSES}/12").get_json()
    assert asdict(values["status"]) == shown | {"position": "0"}


@on_sqlite
def test_signal_of_an_update_has_its_language(
    shop: Flask, visitor: FlaskClient
) -> None:
    with receiving(writing.status_updated, shop) as received:
        visitor.put(f"{STATUSES}/2?lang_code=ru", json={"description": "Собран"})

    (values,) = received
    assert (values["status"].description, values["status"].lang_code) == (
        "Собран",
        "ru",
    )


@on_sqlite
def test_signal_of_store_texts_has_those_of_the_store(
    shop: Flask, visitor: FlaskClient
) -> None:
    with receiving(writing.status_updated, shop) as received:
        visitor.put("/api/2.0/stores/2/statuses/2", json={"email_subj": "is ready"})

    (values,) = received
    assert (values["status"].email_subj, values["store_id"]) == ("is ready", 2)


@on_sqlite
def test_signal_of_a_deletion_has_the_deleted_status(
    shop: Flask, visitor: FlaskClient
) -> None:
    with receiving(writing.status_deleted, shop) as received:
        visitor.delete(f"{STATUSES}/3")

    (values,) = received
    assert (values["status"].status, values["status"].description) == (
        "B",
        "Backordered",
    )


def test_signal_is_sent_after_the_commit(shop: Flask, visitor: FlaskClient) -> None:
    seen: list[str] = []

    def read_in_another_transaction(
        sender: Flask, status: reading.OrderStatus, **_: Any
    ) -> None:
        with db.engine.begin() as connection:
            written = Status.status_id == int(status.status_id)
            seen.extend(connection.scalars(select(Status.status).where(written)))
            connection.execute(RENEW)  # no lock

    with writing.status_created.connected_to(read_in_another_transaction, shop):
        visitor.post(STATUSES, json={"description": "Packed"})

    assert seen == ["A"]


@on_sqlite
def test_no_signal_is_sent_for_what_was_refused(
    shop: Flask, visitor: FlaskClient
) -> None:
    set_veto(shop, lambda status: 1)
    with receiving(writing.status_updated, shop) as updates:
        visitor.put(f"{STATUSES}/2", json={"description": ""})
    with receiving(writing.status_deleted, shop) as deletions:
        visitor.delete(f"{STATUSES}/3")

    assert updates == deletions == []


def test_no_signal_is_sent_for_what_was_rolled_back(
    shop: Flask, visitor: FlaskClient
) -> None:
    def fail(session: Any) -> None:
        raise OperationalError("COMMIT", {}, Exception("the database went away"))

    with receiving(writing.status_created, shop) as received, shop.app_context():
        event.listen(db.session, "before_commit", fail)
        response = visitor.post(STATUSES, json={"description": "Packed"})
        event.remove(db.session, "before_commit", fail)

    assert (response.status_code, received) == (503, [])


def test_receiver_that_fails_is_logged_and_stops_no_other(
    shop: Flask, visitor: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(sender: Flask, **_: Any) -> None:
        db.session.add(Order(status="P"))
        raise RuntimeError("the mail server is away")

    shop.after_request(commit)
    with (
        writing.status_created.connected_to(fail, shop),
        receiving(writing.status_created, shop) as received,
    ):
        created = visitor.post(STATUSES, json={"description": "Packed"})

    assert (created.status_code, len(received)) == (201, 1)
    assert "A receiver of a signal failed" in caplog.text
    assert count_all_orders(shop) == 0


def count_all_orders(shop: Flask) -> int:
    with shop.app_context():
        return db.session.scalar(select(func.count(Order.order_id))) or 0


def commit(response: Response) -> Response:
    """Commit after each request, as some shops do."""
    db.session.commit()
    return response


# Reading in process.


def test_shop_reads_statuses_without_http(shop: Flask, visitor: FlaskClient) -> None:
    with shop.app_context():
        read = [asdict(s) for s in reading.list_statuses("O", lang_code="ru")]
    shown = visitor.get(f"{STATUSES}?lang_code=ru").json

    assert [status.pop("position") for status in read] == ["0"] * 7
    assert json.dumps(read) == json.dumps(shown)


@on_sqlite
def test_fields_do_not_depend_on_the_order_of_columns(
    shop: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    with shop.app_context():
        read = reading.list_statuses("O")
        tag, *columns = reading.STATUSES_OF_TYPE.selected_columns
        reordered = reading.STATUSES_OF_TYPE.with_only_columns(
            tag, *reversed(columns), maintain_column_froms=True
        )
        monkeypatch.setattr(reading, "STATUSES_OF_TYPE", reordered)

        assert reading.list_statuses("O") == read


@on_sqlite
def test_shop_reads_as_a_store(shop: Flask, visitor: FlaskClient) -> None:
    visitor.put("/api/2.0/stores/2/statuses/2", json={"email_subj": "is ready"})
    with shop.app_context():
        common = reading.list_statuses("O")[1]
        of_store = reading.list_statuses("O", store_id=2)[1]

    assert (common.email_subj, of_store.email_subj) == (
        "has been completed",
        "is ready",
    )


def test_shop_reads_in_its_own_transaction(shop: Flask) -> None:
    with shop.app_context():
        db.get_or_404(Status, 2).params = {"color": "#000000"}

        assert reading.list_statuses("O")[1].params == {"color": "#000000"}


@on_sqlite
def test_what_the_shop_reads_is_immutable(shop: Flask) -> None:
    with shop.app_context():
        status = reading.list_statuses("O")[0]

    with pytest.raises(FrozenInstanceError):
        status.description = "x"  # type: ignore[misc]
    with pytest.raises(TypeError):
        status.params["color"] = "x"  # type: ignore[index]
    assert pickle.loads(pickle.dumps(status)) == status  # noqa: S301
    assert len({status, status}) == 1


@on_sqlite
def test_template_shows_the_label_of_an_order(shop: Flask) -> None:
    template = "{{ labels.B.description }} {{ labels.B.params.color }}"
    with shop.app_context():
        labels = {status.status: status for status in reading.list_statuses("O")}

        assert render_template_string(template, labels=labels) == "Backordered #28abf6"


# Its settings, which are read at the mount.

CHANGED = "ORDER_STATUSES_LANGUAGES has changed in app.config since the API was mounted"


def use(shop: Flask, how: str) -> object:
    """Use the API in one of the ways that there are."""
    if how == "command":
        return shop.test_cli_runner().invoke(
            args=["order-statuses", "users"], catch_exceptions=False
        )
    if how in {"GET", "POST", "OPTIONS"}:
        shop.testing = True  # errors come through
        return shop.test_client().open(STATUSES, method=how, json={"description": "x"})
    with shop.app_context():
        if how == "list_statuses":
            return reading.list_statuses("O")
        if how == "find_status":
            return reading.find_status("P")
        writing.replace_stores({2: "Second store"})
        db.session.commit()
        return None


WAYS = ["GET", "POST", "OPTIONS", "list_statuses", "find_status"]
WAYS += ["replace_stores", "command"]


@on_sqlite
@pytest.mark.parametrize("how", WAYS)
def test_setting_that_changes_after_the_mount_is_an_error(
    shop: Flask, how: str
) -> None:
    use(shop, how)
    shop.config["ORDER_STATUSES_LANGUAGES"] = "en,de"

    with pytest.raises(RuntimeError, match=CHANGED):
        use(shop, how)


@on_sqlite
def test_setting_that_is_taken_away_after_the_mount_is_an_error(database: str) -> None:
    with open_shop(database, ORDER_STATUSES_LANGUAGES="en,ru") as shop:
        del shop.config["ORDER_STATUSES_LANGUAGES"]

        with pytest.raises(RuntimeError, match=CHANGED):
            use(shop, "GET")


@on_sqlite
def test_setting_may_be_set_to_the_same_value_again(database: str) -> None:
    with open_shop(database, ORDER_STATUSES_LANGUAGES=["en", "ru"]) as shop:
        shop.config["ORDER_STATUSES_LANGUAGES"] = ["en", "ru"]

        assert use(shop, "list_statuses")


@on_sqlite
def test_settings_of_the_shop_stay_as_they_were_given(database: str) -> None:
    given = {
        "ORDER_STATUSES_LANGUAGES": "ru,en",
        "ORDER_STATUSES_REQUIRE_IF_MATCH": "no",
    }
    with open_shop(database, **given) as shop:
        visitor = shop.test_client()
        shown = visitor.get(f"{STATUSES}/1").get_json()
        updated = visitor.put(f"{STATUSES}/1", data="description=x")

        assert (shown["lang_code"], updated.status_code) == ("ru", 200)
        ours = {n: v for n, v in shop.config.items() if n.startswith("ORDER_STATUSES_")}
        assert ours == given | {
            "ORDER_STATUSES_IDENTIFY": ours["ORDER_STATUSES_IDENTIFY"]
        }


def test_second_mount_with_other_settings_is_refused() -> None:
    shop = build_shop()
    mount(shop)
    shop.config["ORDER_STATUSES_TYPES"] = "O"

    with pytest.raises(ValueError, match="ORDER_STATUSES_TYPES has changed since"):
        shop.register_blueprint(create_blueprint("again"), url_prefix="/again")


# The storefronts of the shop.


def test_stores_are_those_of_the_shop(shop: Flask, visitor: FlaskClient) -> None:
    with shop.app_context():
        writing.replace_stores({2: "Outlet", 3: "Wholesale"})
        db.session.commit()

    assert visitor.get("/api/2.0/stores").json == [
        {"company_id": "2", "company": "Outlet"},
        {"company_id": "3", "company": "Wholesale"},
    ]


def test_removed_store_takes_what_is_its_own(shop: Flask, visitor: FlaskClient) -> None:
    for store_id in (1, 2):
        address = f"/api/2.0/stores/{store_id}/statuses/2"
        visitor.put(address, json={"email_subj": "of a store"})
    with shop.app_context():
        writing.replace_stores({2: "Second store"})
        db.session.commit()

        assert list(db.session.scalars(select(StoreText.store_id))) == [2]
        assert list(db.session.scalars(select(User.email))) == [ADMINISTRATOR]
        assert len(list(db.session.scalars(select(Key)))) == 1


def test_shop_without_stores_keeps_its_administrators(shop: Flask) -> None:
    with shop.app_context():
        writing.replace_stores({}, allow_empty=True)
        db.session.commit()

        assert list(db.session.scalars(select(Store))) == []
        assert list(db.session.scalars(select(User.email))) == [ADMINISTRATOR]


@pytest.mark.parametrize(
    "names",
    [
        {},
        {0: "Outlet"},
        {-1: "Outlet"},
        {2**63: "Outlet"},
        {"7": "Outlet"},
        {True: "Outlet"},
        {7: ""},
        {7: " "},
        {7: "x" * 256},
        {7: None},
    ],
)
def test_stores_that_cannot_be_change_nothing(
    shop: Flask, visitor: FlaskClient, names: Any
) -> None:
    with shop.app_context():
        with pytest.raises(ValueError, match=r"storefront"):
            writing.replace_stores({2: "Renamed", **names} if names else names)
        db.session.commit()

    assert visitor.get("/api/2.0/stores").json == [
        {"company_id": "1", "company": "Main store"},
        {"company_id": "2", "company": "Second store"},
    ]


def test_names_of_stores_are_trimmed(shop: Flask, visitor: FlaskClient) -> None:
    with shop.app_context():
        writing.replace_stores({7: " Outlet "})
        db.session.commit()

    assert visitor.get("/api/2.0/stores/7").get_json()["company"] == "Outlet"


def test_params_keep_their_order_whatever_serializer_the_shop_has(
    database: str,
) -> None:
    def sort_keys(value: Any) -> str:
        return json.dumps(value, sort_keys=True)

    options = {"json_serializer": sort_keys}
    with open_shop(database, SQLALCHEMY_ENGINE_OPTIONS=options) as shop:
        visitor = shop.test_client()
        params = '{"params": {"zebra": "1", "ant": "2"}}'
        visitor.put(f"{STATUSES}/8", data=params, content_type="application/json")
        with shop.app_context():
            db.get_or_404(Status, 9).params = {"zebra": "1", "ant": "2"}
            db.session.commit()

        for status_id in (8, 9):
            shown = visitor.get(f"{STATUSES}/{status_id}").get_json()["params"]
            assert [name for name in shown if name in params] == ["zebra", "ant"]


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


def test_stores_are_set_in_the_transaction_of_the_shop(
    shop: Flask, visitor: FlaskClient
) -> None:
    with shop.app_context():
        writing.replace_stores({7: "Seventh"})
        db.session.rollback()

    assert len(visitor.get("/api/2.0/stores").get_json()) == 2


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "deflate"])
def test_writes_go_on_behind_the_compression_of_the_shop(
    shop: Flask, visitor: FlaskClient, encoding: str
) -> None:
    shop.config["COMPRESS_MIN_SIZE"] = 1
    Compress(shop)
    accepted = {"Accept-Encoding": encoding}

    seen = visitor.get(f"{STATUSES}/2", headers=accepted).headers
    known = visitor.get(
        f"{STATUSES}/2", headers=accepted | {"If-None-Match": seen["ETag"]}
    )
    written = [
        visitor.put(
            f"{STATUSES}/2", data="email_subj=x", headers={"If-Match": seen["ETag"]}
        ).status_code
        for _ in range(2)
    ]

    assert (seen["Content-Encoding"], known.status_code) == (encoding, 304)
    assert seen["ETag"].endswith(f':{encoding}"')
    assert written == [200, 412]


# The session of the shop.


def leave_order_pending() -> None:
    """Change something without a commit, as a shop's before_request may."""
    db.session.add(Order(status="P"))


def test_pending_work_of_the_shop_is_committed_with_a_write(
    shop: Flask, visitor: FlaskClient
) -> None:
    shop.before_request(leave_order_pending)
    visitor.put(f"{STATUSES}/2", json={"description": "Done"})

    assert count_all_orders(shop) == 1


def test_pending_work_of_the_shop_ends_with_a_refused_write(
    shop: Flask, visitor: FlaskClient
) -> None:
    shop.before_request(leave_order_pending)
    shop.after_request(commit)
    visitor.put(f"{STATUSES}/2", json={"description": "", "params": {"color": "x"}})

    assert count_all_orders(shop) == 0


def test_reading_neither_commits_nor_rolls_back(
    shop: Flask, visitor: FlaskClient
) -> None:
    shop.before_request(leave_order_pending)
    shop.after_request(commit)
    visitor.get(f"{STATUSES}/2")
    visitor.get(f"{STATUSES}/999")

    assert count_all_orders(shop) == 2


@on_postgresql
def test_write_does_not_start_again_at_the_cost_of_another_database(
    database: str, tmp_path: Path
) -> None:
    shop = Flask("shop")
    shop.config["SQLALCHEMY_ENGINES"] = {
        "default": {
            "url": config.database_url(database),
            "isolation_level": "REPEATABLE READ",
        },
        "log": f"sqlite:///{tmp_path / 'log.db'}",
    }
    shop.config["ORDER_STATUSES_IDENTIFY"] = lambda: OWNER
    lite = flask_sqlalchemy_lite.SQLAlchemy()
    lite.init_app(shop)
    shop.register_blueprint(create_blueprint(), url_prefix="/api/2.0")
    log = Table("log", MetaData(), Column("name", String))

    @shop.before_request
    def note() -> None:
        lite.session.execute(
            insert(log).values(name="x"), bind_arguments={"bind": lite.engines["log"]}
        )
        lite.session.scalar(select(ChangeTag.tag))
        with lite.engine.begin() as another_writer:
            another_writer.execute(RENEW)

    with shop.app_context():
        log.create(lite.engines["log"])
        written = shop.test_client().put(f"{STATUSES}/2", json={"description": "x"})
        for engine in lite.engines.values():
            engine.dispose()

    assert written.status_code == 503


@on_postgresql
def test_write_that_a_migration_of_the_shop_stops_starts_again(
    shop: Flask, visitor: FlaskClient
) -> None:
    @shop.before_request
    def read_order() -> None:
        db.session.scalar(select(Order.order_id))

    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    with ThreadPoolExecutor() as threads, shop.app_context():
        with db.engine.begin() as migration:
            migration.execute(RENEW)
            change = {"description": "x"}
            written = threads.submit(visitor.put, f"{STATUSES}/2", json=change)
            while not migration.scalar(waiting):
                time.sleep(0.01)
            # The writer, which waits for this migration, has read this table.
            migration.execute(text("SET LOCAL deadlock_timeout = '1min'"))
            migration.execute(text('LOCK TABLE "order"'))

        assert written.result(30).status_code == 200
