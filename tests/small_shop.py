"""A shop of a few lines, in the process of the tests, that mounts the API."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from blinker import Signal
from flask import Flask, Response
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from order_statuses.api import create_blueprint
from order_statuses.auth import Caller
from order_statuses.models import Status

OWNER = Caller("the shop's owner")
STATUSES = "/api/2.0/statuses"


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


def shop_with_login(login: Callable[[], Any]) -> Flask:
    """Make a shop that has mounted the API; without tables, its *login* alone works."""
    shop = build_shop(ORDER_STATUSES_IDENTIFY=login)
    mount(shop)
    return shop


@contextmanager
def open_shop(url: str = "sqlite://", **settings: Any) -> Iterator[Flask]:
    """Open a shop that has mounted the API, and close its connections."""
    shop = build_shop(url, **settings)
    mount(shop)
    yield shop
    with shop.app_context():
        db.engine.dispose()


def count_statuses(shop: Flask) -> int:
    statuses: list[object] = shop.test_client().get(STATUSES).get_json()
    return len(statuses)


def count_orders(shop: Flask) -> int:
    with shop.app_context():
        return db.session.scalar(select(func.count(Order.order_id))) or 0


def commit(response: Response) -> Response:
    """Commit after each request, as some shops do."""
    db.session.commit()
    return response


@contextmanager
def receiving(signal: Signal, shop: Flask) -> Iterator[list[dict[str, Any]]]:
    """Collect what *signal* sends for *shop*."""
    received: list[dict[str, Any]] = []

    def receive(sender: Flask, **values: Any) -> None:
        assert sender is shop
        received.append(values)

    with signal.connected_to(receive, shop):
        yield received
