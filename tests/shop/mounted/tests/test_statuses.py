"""The order statuses in the shop."""

import pytest
from conftest import add_customer, log_in
from sqlalchemy import select

from models import Order, db
from statuses import Icon, publish_stores

STATUSES = "/api/2.0/statuses"


@pytest.fixture
def manager(app, client):
    """A manager of the shop, and an order that is backordered."""
    customer_id = add_customer(app, "manager@shop.example", is_manager=True)
    with app.app_context():
        db.session.add(Order(id=1, customer_id=customer_id, status="B", total=5))
        db.session.commit()
    log_in(client, "manager@shop.example")
    return client


def orders(app):
    with app.app_context():
        return list(db.session.scalars(select(Order.id)))


@pytest.mark.parametrize("number", [1, 2])
def test_manager_creates_a_status(manager, number):
    created = manager.post(STATUSES, json={"description": "Packed"})

    assert created.status_code == 201
    assert len(manager.get(STATUSES).json) == 8


def test_customer_reads_alone(client, customer):
    log_in(client, "customer@shop.example")

    assert len(client.get(STATUSES).json) == 7
    assert client.delete(f"{STATUSES}/3").status_code == 403


def test_stranger_is_refused_in_json(client):
    assert client.get(STATUSES).json["status"] == 401


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("PUT", f"{STATUSES}/2"),  # nothing to update
        ("DELETE", f"{STATUSES}/3"),  # an order has this status
        ("DELETE", f"{STATUSES}/99"),
    ],
)
def test_refusal_keeps_what_the_test_has_made(app, manager, method, address):
    refused = manager.open(address, method=method)

    assert refused.status_code in {400, 404}
    assert orders(app) == [1]
    assert manager.put(f"{STATUSES}/2", json={"description": "x"}).status_code == 200
    assert orders(app) == [1]


def test_order_shows_the_name_of_its_status(manager):
    page = manager.get("/orders/1").text

    assert '<b style="color: #28abf6">Backordered</b>' in page


def test_order_whose_status_is_gone_shows_the_letter(app, manager):
    with app.app_context():
        db.session.get(Order, 1).status = "Z"
        db.session.commit()

    assert "Z" in manager.get("/orders/1").text.split()


def test_icon_of_a_status_keeps_it(app, manager):
    with app.app_context():
        db.session.add(Icon(status_id=7, file="cancelled.svg"))
        db.session.commit()
    manager.put(f"{STATUSES}/7", json={"is_default": "N"})

    deleted = manager.delete(f"{STATUSES}/7").status_code
    assert deleted == (204 if db_is_lax(app) else 400)


def db_is_lax(app):
    """Say whether the database leaves foreign keys alone, as SQLite does if unasked."""
    with app.app_context():
        return db.engine.dialect.name == "sqlite"


def test_stores_are_those_of_the_shop(app, manager):
    with app.app_context(), pytest.raises(ValueError, match="all storefronts"):
        publish_stores()

    assert [store["company_id"] for store in manager.get("/api/2.0/stores").json] == [
        "1"
    ]


def test_api_shares_its_prefix_with_the_shops_own(manager):
    assert len(manager.get("/api/statuses").json["statuses"]) == 7
    refused = manager.patch("/api/orders")
    assert refused.headers["Allow"] == "GET, HEAD, POST, OPTIONS"
    assert manager.get("/api/orders").status_code == 401  # by the shop's own token


def test_stranger_learns_nothing_below_the_shared_prefix(client):
    assert client.patch("/api/orders").json["status"] == 401
    assert client.get("/api/nothing").json["status"] == 401
