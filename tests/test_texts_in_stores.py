"""Storefronts: the list of them, and the e-mail texts that each has of its own."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from .statuses import IN_STORE, STATUSES, assert_error, problems, texts

COMPLETE = f"{STATUSES}/2"
IN_MAIN_STORE = f"{IN_STORE}/2"
MAIN = {"company_id": "1", "company": "Main store"}
SECOND = {"company_id": "2", "company": "Second store"}


def test_storefronts_are_listed_in_both_forms(client: FlaskClient) -> None:
    assert client.get("/api/2.0/stores").json == [MAIN, SECOND]
    assert client.get("/api/2.0/stores/2").json == SECOND
    assert client.get("/api/stores/2").json == SECOND
    assert client.get("/api/stores").json == {
        "stores": [MAIN, SECOND],
        "params": {"items_per_page": 0, "page": 1, "total_items": 2},
    }
    assert client.get("/api/stores?items_per_page=1&page=2").json == {
        "stores": [SECOND],
        "params": {"items_per_page": 1, "page": 2, "total_items": 2},
    }


def test_texts_are_seen_in_the_store_alone(client: FlaskClient) -> None:
    common = texts(client, COMPLETE)

    updated = client.put(IN_MAIN_STORE, data="email_subj=test&email_header=header")

    assert (updated.status_code, updated.json) == (200, {"status_id": "2"})
    assert texts(client, IN_MAIN_STORE) == [common[0], "test", "header"]
    assert texts(client, COMPLETE) == common
    assert texts(client, "/api/2.0/stores/2/statuses/2") == common


def test_text_that_was_not_sent_stays_and_null_returns_to_the_common_one(
    client: FlaskClient,
) -> None:
    common = texts(client, COMPLETE)
    client.put(IN_MAIN_STORE, data="email_subj=test&email_header=header")

    client.put(IN_MAIN_STORE, data="email_header=other")
    assert texts(client, IN_MAIN_STORE) == [common[0], "test", "other"]

    client.put(IN_MAIN_STORE, json={"email_subj": None})
    assert texts(client, IN_MAIN_STORE) == [*common[:2], "other"]


@pytest.mark.one_database
@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "body", [{}, {"description": "Done"}, {"params": {}}, {"lang_code": "ru"}]
)
def test_store_takes_email_texts_alone(
    client: FlaskClient, body: dict[str, Any]
) -> None:
    refused = client.put(IN_MAIN_STORE, json=body)

    assert_error(refused, 400)
    assert "without a store" in refused.get_json()["message"]


@pytest.mark.one_database
def test_other_fields_beside_them_are_ignored(client: FlaskClient) -> None:
    common = texts(client, COMPLETE)

    client.put(IN_MAIN_STORE, json={"email_subj": "test", "description": "Done"})

    assert texts(client, IN_MAIN_STORE) == [common[0], "test", common[2]]


@pytest.mark.one_database
@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("field", "value"),
    [("email_subj", "a\nb"), ("email_header", 5), ("email_subj", True)],
)
def test_bad_text_is_refused_by_name(
    client: FlaskClient, field: str, value: Any
) -> None:
    assert list(problems(client.put(IN_MAIN_STORE, json={field: value}))) == [field]


def test_texts_go_with_their_status(client: FlaskClient) -> None:
    client.put(f"{IN_STORE}/3", data="email_subj=test")

    assert client.delete(f"{STATUSES}/3").status_code == 204

    assert client.get(f"{IN_STORE}/3").status_code == 404
