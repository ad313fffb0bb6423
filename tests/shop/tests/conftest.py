"""The shop, on a database that each test leaves as it was."""

import re

import pytest
from flask_migrate import upgrade
from sqlalchemy import event

from app import create_app
from models import Customer, db


@pytest.fixture(scope="session")
def app():
    app = create_app({"TESTING": True})
    with app.app_context():
        begin_at_once(db.engine)
        upgrade()
    return app


def begin_at_once(engine):
    if engine.name == "sqlite":
        event.listen(engine, "connect", leave_it_to_sqlalchemy)
        event.listen(engine, "begin", lambda c: c.exec_driver_sql("BEGIN"))


def leave_it_to_sqlalchemy(connection, _):
    connection.isolation_level = None


@pytest.fixture(autouse=True)
def rolled_back(app):
    with app.app_context():
        engine, engines = db.engine, db.engines
    with engine.connect() as connection:
        transaction = connection.begin()
        engines[None] = connection
        yield
        engines[None] = engine
        transaction.rollback()


@pytest.fixture
def client(app):
    return app.test_client()


@pytest.fixture
def customer(app):
    """The id of a customer."""
    return add_customer(app, "customer@shop.example")


def add_customer(app, email, **fields):
    with app.app_context():
        customer = Customer(email=email, **fields)
        customer.set_password("a password")
        db.session.add(customer)
        db.session.commit()
        return customer.id


def token_of(page):
    return re.search('name="csrf_token".*? value="(.+?)"', page.text)[1]


def log_in(client, email, password="a password"):
    form = {"email": email, "password": password}
    token = token_of(client.get("/login"))
    return client.post("/login", data={**form, "csrf_token": token})
