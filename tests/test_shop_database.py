"""Which database of a shop has the statuses, and what the shop may do to it."""

import json
import re
from typing import Any

import flask_sqlalchemy.session
import flask_sqlalchemy_lite
import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Engine, select

from order_statuses import config
from order_statuses.models import Status, StatusText, StoreText

from .commands import run
from .conftest import on_sqlite
from .small_shop import (
    OWNER,
    STATUSES,
    build_shop,
    count_statuses,
    db,
    mount,
    open_shop,
)

BINDS = {"SQLALCHEMY_BINDS": {"x": "sqlite://"}}
ENGINES = {"SQLALCHEMY_ENGINES": {"x": "sqlite://"}}


@pytest.mark.parametrize(
    ("settings", "extension"),
    [
        ({}, None),
        (BINDS, SQLAlchemy()),
        (ENGINES, flask_sqlalchemy_lite.SQLAlchemy(require_default_engine=False)),
    ],
)
def test_mount_needs_a_default_database(
    settings: dict[str, Any], extension: Any
) -> None:
    shop = Flask("shop")
    shop.config.update(settings)
    if extension:
        extension.init_app(shop)

    with pytest.raises(ValueError, match=r"Flask-SQLAlchemy.*call db.init_app\(app\)"):
        mount(shop)


def test_shop_may_have_flask_sqlalchemy_lite(database: str) -> None:
    shop = Flask("shop")
    shop.config["SQLALCHEMY_ENGINES"] = {"default": config.database_url(database)}
    shop.config["ORDER_STATUSES_IDENTIFY"] = lambda: OWNER
    lite = flask_sqlalchemy_lite.SQLAlchemy(require_default_engine=False)
    lite.init_app(shop)
    mount(shop)
    shop.test_client().delete(f"{STATUSES}/3")

    assert run(shop, "seed").exit_code == 0
    assert count_statuses(shop) == 6
    with shop.app_context():
        lite.engine.dispose()


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


# What the engine of the shop does differently.


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


def test_deleted_status_leaves_no_texts_where_foreign_keys_are_not_enforced(
    shop: Flask, visitor: FlaskClient
) -> None:
    """As on SQLite, unless a shop asks for it."""
    visitor.put("/api/2.0/stores/1/statuses/3", json={"email_subj": "of a store"})
    visitor.delete(f"{STATUSES}/3")
    with shop.app_context():
        for texts in (StatusText, StoreText):
            assert 3 not in db.session.scalars(select(texts.status_id)).all()
