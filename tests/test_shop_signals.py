"""The signals that a shop gets after a write."""

from dataclasses import asdict
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, select
from sqlalchemy.exc import OperationalError

from order_statuses.models import RENEW, Status
from order_statuses.reading import OrderStatus
from order_statuses.writing import status_created, status_deleted, status_updated

from .conftest import settings_of
from .small_shop import OWNER, STATUSES, Order, commit, count_orders, db, receiving


def test_signal_is_sent_for_a_created_status(shop: Flask, visitor: FlaskClient) -> None:
    with receiving(status_created, shop) as received:
        visitor.post(STATUSES, json={"description": "Packed"})

    (values,) = received
    assert (values["caller"], values["store_id"]) == (OWNER, None)
    shown = visitor.get(f"{STATUSES}/12").get_json()
    assert asdict(values["status"]) == shown | {"position": "0"}


@pytest.mark.one_database
def test_signal_of_an_update_has_its_language(
    shop: Flask, visitor: FlaskClient
) -> None:
    with receiving(status_updated, shop) as received:
        visitor.put(f"{STATUSES}/2?lang_code=ru", json={"description": "Собран"})

    (values,) = received
    assert (values["status"].description, values["status"].lang_code) == (
        "Собран",
        "ru",
    )


@pytest.mark.one_database
def test_signal_of_store_texts_has_those_of_the_store(
    shop: Flask, visitor: FlaskClient
) -> None:
    with receiving(status_updated, shop) as received:
        visitor.put("/api/2.0/stores/2/statuses/2", json={"email_subj": "is ready"})

    (values,) = received
    assert (values["status"].email_subj, values["store_id"]) == ("is ready", 2)


@pytest.mark.one_database
def test_signal_of_a_deletion_has_the_deleted_status(
    shop: Flask, visitor: FlaskClient
) -> None:
    with receiving(status_deleted, shop) as received:
        visitor.delete(f"{STATUSES}/3")

    (values,) = received
    assert (values["status"].status, values["status"].description) == (
        "B",
        "Backordered",
    )


def test_signal_is_sent_after_the_commit(shop: Flask, visitor: FlaskClient) -> None:
    seen: list[str] = []

    def read_in_another_transaction(
        sender: Flask, status: OrderStatus, **_: Any
    ) -> None:
        with db.engine.begin() as connection:
            written = Status.status_id == int(status.status_id)
            seen.extend(connection.scalars(select(Status.status).where(written)))
            connection.execute(RENEW)  # no lock

    with status_created.connected_to(read_in_another_transaction, shop):
        visitor.post(STATUSES, json={"description": "Packed"})

    assert seen == ["A"]


@pytest.mark.one_database
def test_no_signal_is_sent_for_what_was_refused(
    shop: Flask, visitor: FlaskClient
) -> None:
    settings_of(shop)["ORDER_STATUSES_COUNT_ORDERS"] = lambda status: 1
    with receiving(status_updated, shop) as updates:
        visitor.put(f"{STATUSES}/2", json={"description": ""})
    with receiving(status_deleted, shop) as deletions:
        visitor.delete(f"{STATUSES}/3")

    assert updates == deletions == []


def test_no_signal_is_sent_for_what_was_rolled_back(
    shop: Flask, visitor: FlaskClient
) -> None:
    def fail(session: Any) -> None:
        raise OperationalError("COMMIT", {}, Exception("the database went away"))

    with receiving(status_created, shop) as received, shop.app_context():
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
        status_created.connected_to(fail, shop),
        receiving(status_created, shop) as received,
    ):
        created = visitor.post(STATUSES, json={"description": "Packed"})

    assert (created.status_code, len(received)) == (201, 1)
    assert "A receiver of a signal failed" in caplog.text
    assert count_orders(shop) == 0
