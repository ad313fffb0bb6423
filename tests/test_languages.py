"""Texts: languages, falling back, and e-mail texts of a store."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from order_statuses.database import db
from order_statuses.models import StatusText

from .conftest import ADMINISTRATOR, client_of, service

COMPLETE = "/api/2.0/statuses/2"
IN_STORE = "/api/2.0/stores/1/statuses/2"
TEXTS = ("description", "email_subj", "email_header")

Restart = Callable[..., FlaskClient]


@pytest.fixture
def restart(database: str) -> Iterator[Restart]:
    """Start the service on the database with other languages."""
    with ExitStack() as started:

        def start(languages: str) -> FlaskClient:
            restarted = service(database, ORDER_STATUSES_LANGUAGES=languages)
            return client_of(started.enter_context(restarted), ADMINISTRATOR)

        yield start


def texts(client: FlaskClient, address: str) -> list[str]:
    shown: Any = client.get(address).json
    return [shown[name] for name in TEXTS]


def test_language_is_chosen_by_the_query(client: FlaskClient) -> None:
    shown: Any = client.get(f"{COMPLETE}?lang_code=ru").json

    assert (shown["description"], shown["lang_code"]) == ("Выполнен", "ru")


def test_list_is_in_the_language_that_was_asked_for(client: FlaskClient) -> None:
    listed: Any = client.get("/api/2.0/statuses?lang_code=ru").json

    assert {status["lang_code"] for status in listed} == {"ru"}
    assert listed[0]["description"] == "Обработан"


@pytest.mark.parametrize("lang_code", ["de", "", "RU", "%00", "ru%20"])
def test_unknown_language_reads_as_the_default_one(
    client: FlaskClient, lang_code: str
) -> None:
    assert (
        client.get(f"{COMPLETE}?lang_code={lang_code}").json
        == client.get(COMPLETE).json
    )


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("", {"lang_code": "ru"}),
        ("?lang_code=ru", {}),
        ("?lang_code=en", {"lang_code": "ru"}),
    ],
)
def test_update_sets_texts_in_one_language(
    client: FlaskClient, query: str, body: dict[str, str]
) -> None:
    english = texts(client, COMPLETE)

    client.put(COMPLETE + query, json={"description": "Готов", **body})

    assert texts(client, COMPLETE) == english
    assert texts(client, f"{COMPLETE}?lang_code=ru")[0] == "Готов"


@pytest.mark.parametrize("address", [COMPLETE, IN_STORE])
@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("", {"lang_code": "de"}),
        ("?lang_code=de", {}),
        ("?lang_code=de", {"lang_code": "en"}),
        ("?lang_code=", {}),
    ],
)
def test_unknown_language_is_not_written(
    client: FlaskClient, address: str, query: str, body: dict[str, str]
) -> None:
    before = texts(client, address)

    refused = client.put(address + query, json={"email_subj": "x", **body})

    assert refused.status_code == 400
    assert "lang_code" in refused.text
    assert texts(client, address) == before


def test_language_without_texts_falls_back_to_the_default(restart: Restart) -> None:
    with_german = restart("en,de")

    shown: Any = with_german.get(f"{COMPLETE}?lang_code=de").json

    assert (shown["description"], shown["lang_code"]) == ("Complete", "de")


def test_fallback_goes_field_by_field(restart: Restart) -> None:
    with_german = restart("en,de")

    with_german.put(f"{COMPLETE}?lang_code=de", json={"description": "Fertig"})

    assert texts(with_german, f"{COMPLETE}?lang_code=de") == [
        "Fertig",
        *texts(with_german, COMPLETE)[1:],
    ]


def test_empty_text_is_a_text(client: FlaskClient) -> None:
    client.put(f"{COMPLETE}?lang_code=ru", json={"email_subj": ""})

    assert texts(client, f"{COMPLETE}?lang_code=ru")[1] == ""


def test_any_language_is_better_than_none(restart: Restart) -> None:
    german = restart("de,fr")

    listed: Any = german.get("/api/2.0/statuses?lang_code=fr").json

    assert [status["description"] for status in listed[:2]] == ["Processed", "Complete"]
    assert {status["lang_code"] for status in listed} == {"fr"}


def test_status_without_any_text_stays_in_the_list(
    app: Flask, client: FlaskClient
) -> None:
    with app.app_context():
        db.session.query(StatusText).delete()
        db.session.commit()

    listed: Any = client.get("/api/2.0/statuses").json

    assert [[status[name] for name in TEXTS] for status in listed] == [[""] * 3] * 7


def test_created_status_has_its_texts_in_every_language(restart: Restart) -> None:
    client = restart("en,ru,de")
    created: Any = client.post("/api/2.0/statuses", json={"description": "Packed"}).json
    address = f"/api/2.0/statuses/{created['status_id']}"

    client.put(address, json={"description": "Changed"})

    assert texts(client, f"{address}?lang_code=de") == ["Packed", "", ""]


def test_store_texts_are_seen_in_the_store_alone(client: FlaskClient) -> None:
    common = texts(client, COMPLETE)

    updated = client.put(IN_STORE, data="email_subj=test&email_header=header")

    assert (updated.status_code, updated.json) == (200, {"status_id": "2"})
    assert texts(client, IN_STORE) == [common[0], "test", "header"]
    assert texts(client, COMPLETE) == common
    assert texts(client, "/api/2.0/stores/2/statuses/2") == common


def test_store_text_that_was_not_sent_stays(client: FlaskClient) -> None:
    client.put(IN_STORE, data="email_subj=test&email_header=header")

    client.put(IN_STORE, data="email_header=other")

    assert texts(client, IN_STORE)[1:] == ["test", "other"]


def test_null_returns_a_store_text_to_the_common_one(client: FlaskClient) -> None:
    common = texts(client, COMPLETE)
    client.put(IN_STORE, data="email_subj=test&email_header=header")

    client.put(IN_STORE, json={"email_subj": None})

    assert texts(client, IN_STORE) == [common[0], common[1], "header"]


def test_store_text_has_a_language(client: FlaskClient) -> None:
    russian = texts(client, f"{COMPLETE}?lang_code=ru")

    client.put(IN_STORE, data="email_subj=test&lang_code=en")

    assert texts(client, f"{IN_STORE}?lang_code=ru") == russian


def test_store_text_in_the_default_language_goes_before_other_languages(
    restart: Restart,
) -> None:
    client = restart("en,de")

    client.put(IN_STORE, data="email_subj=test")

    assert texts(client, f"{IN_STORE}?lang_code=de")[1] == "test"


@pytest.mark.parametrize(
    "body", [{}, {"description": "Done"}, {"params": {}}, {"lang_code": "ru"}]
)
def test_store_takes_email_texts_alone(
    client: FlaskClient, body: dict[str, Any]
) -> None:
    refused: Any = client.put(IN_STORE, json=body)

    assert refused.status_code == 400
    assert "without a store" in refused.json["message"]


def test_other_fields_beside_store_texts_are_ignored(client: FlaskClient) -> None:
    common = texts(client, COMPLETE)

    client.put(IN_STORE, json={"email_subj": "test", "description": "Done"})

    assert texts(client, IN_STORE)[0] == common[0]


@pytest.mark.parametrize(
    ("field", "value"),
    [("email_subj", "a\nb"), ("email_header", 5), ("email_subj", True)],
)
def test_bad_store_text_is_refused(client: FlaskClient, field: str, value: Any) -> None:
    refused: Any = client.put(IN_STORE, json={field: value})

    assert refused.status_code == 400
    assert list(refused.json["errors"]) == [field]


@pytest.mark.parametrize(
    "address",
    ["99/statuses", "99/statuses/2", "99", "abc", "abc/statuses", "0/statuses/1"],
)
def test_no_such_store(client: FlaskClient, address: str) -> None:
    assert client.get(f"/api/2.0/stores/{address}").status_code == 404


def test_store_texts_go_with_their_status(client: FlaskClient) -> None:
    in_store = "/api/2.0/stores/1/statuses/3"
    client.put(in_store, data="email_subj=test")

    client.delete("/api/2.0/statuses/3")

    assert client.get(in_store).status_code == 404


def test_storefronts_are_listed(client: FlaskClient) -> None:
    main = {"company_id": "1", "company": "Main store"}
    second = {"company_id": "2", "company": "Second store"}

    assert client.get("/api/2.0/stores").json == [main, second]
    assert client.get("/api/2.0/stores/2").json == second
    assert client.get("/api/stores?items_per_page=1&page=2").json == {
        "stores": [second],
        "params": {"items_per_page": 1, "page": 2, "total_items": 2},
    }
