"""What the shop did before it had our statuses, and does with them."""

import re

import pytest
from conftest import add_customer, log_in, token_of

EMAIL = "customer@shop.example"
TOKEN = {"X-Token": "for development"}


@pytest.fixture
def logged_in(client, customer):
    log_in(client, EMAIL)
    return client


def place_order(client, total=100):
    form = {"total": total, "csrf_token": token_of(client.get("/"))}
    return client.post("/orders", data=form)


def test_stranger_is_sent_to_the_login(client):
    assert client.get("/").headers["Location"] == "/login"
    assert "<h1>Log in</h1>" in client.get("/login").text


def test_customer_logs_in(client, customer):
    assert log_in(client, EMAIL).headers["Location"] == "/"
    assert "<h1>Your orders</h1>" in client.get("/").text


def test_wrong_password_is_refused(client, customer):
    assert log_in(client, EMAIL, "another").status_code == 403
    assert client.get("/").headers["Location"] == "/login"


def test_form_without_a_token_is_refused(logged_in):
    assert logged_in.post("/orders", data={"total": 1}).status_code == 400


@pytest.mark.parametrize("number", [1, 2])
def test_order_is_placed(logged_in, number):
    placed = place_order(logged_in)

    assert "<h1>Your order " in logged_in.get(placed.headers["Location"]).text
    assert logged_in.get("/").text.count("<li>") == 1


def test_order_shows_its_status(logged_in):
    page = logged_in.get(place_order(logged_in).headers["Location"])

    assert re.search(r">\s*O", page.text)


def test_order_of_another_is_not_found(app, logged_in):
    address = place_order(logged_in).headers["Location"]
    add_customer(app, "another@shop.example")
    other = app.test_client()
    log_in(other, "another@shop.example")

    assert other.get(address).status_code == 404


def test_unknown_page_is_the_shops_own(logged_in):
    page = logged_in.get("/nothing")

    assert (page.status_code, page.text) == (404, "<h1>Not in this shop</h1>")


def test_failure_is_the_shops_own_page(app, logged_in, monkeypatch):
    monkeypatch.setitem(app.config, "TESTING", False)
    monkeypatch.setitem(app.view_functions, "pages.show_orders", lambda: 1 / 0)
    page = logged_in.get("/")

    assert (page.status_code, page.text) == (500, "<h1>Sorry</h1>")


def test_api_needs_its_token(client):
    assert client.get("/api/orders").status_code == 401


def test_api_creates_and_lists_orders(client, customer):
    order = {"customer_id": customer, "total": 5, "status": "P"}
    created = client.post("/api/orders", json=order, headers=TOKEN)

    assert created.status_code == 201
    assert client.get("/api/orders", headers=TOKEN).json == [created.json]


def test_api_refuses_half_an_order(client):
    refused = client.post("/api/orders", json={"total": 5}, headers=TOKEN)

    assert refused.status_code == 400
    assert list(refused.json) == ["customer_id"]
