"""The storefronts of the API, which are those that the shop says it has."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from order_statuses.models import Key, Store, StoreText, User
from order_statuses.writing import replace_stores

from .conftest import ADMINISTRATOR
from .small_shop import db


def test_stores_are_those_of_the_shop(shop: Flask, visitor: FlaskClient) -> None:
    with shop.app_context():
        replace_stores({2: "Outlet", 3: "Wholesale"})
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
        replace_stores({2: "Second store"})
        db.session.commit()

        assert list(db.session.scalars(select(StoreText.store_id))) == [2]
        assert list(db.session.scalars(select(User.email))) == [ADMINISTRATOR]
        assert len(list(db.session.scalars(select(Key)))) == 1


def test_shop_without_stores_keeps_its_administrators(shop: Flask) -> None:
    with shop.app_context():
        replace_stores({}, allow_empty=True)
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
            replace_stores({2: "Renamed", **names} if names else names)
        db.session.commit()

    assert visitor.get("/api/2.0/stores").json == [
        {"company_id": "1", "company": "Main store"},
        {"company_id": "2", "company": "Second store"},
    ]


def test_names_of_stores_are_trimmed(shop: Flask, visitor: FlaskClient) -> None:
    with shop.app_context():
        replace_stores({7: " Outlet "})
        db.session.commit()

    assert visitor.get("/api/2.0/stores/7").get_json()["company"] == "Outlet"


def test_stores_are_set_in_the_transaction_of_the_shop(
    shop: Flask, visitor: FlaskClient
) -> None:
    with shop.app_context():
        replace_stores({7: "Seventh"})
        db.session.rollback()

    assert len(visitor.get("/api/2.0/stores").get_json()) == 2
