"""Languages: which one a text is read and written in, and what stands in for none."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from order_statuses.database import db
from order_statuses.models import StatusText

from .conftest import ADMINISTRATOR, client_of, service
from .statuses import IN_STORE, STATUSES, create, problems, read

COMPLETE = f"{STATUSES}/2"
IN_MAIN_STORE = f"{IN_STORE}/2"
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
    shown = read(client, address)
    return [shown[name] for name in TEXTS]


def test_language_is_chosen_by_the_query(client: FlaskClient) -> None:
    shown: Any = client.get(f"{COMPLETE}?lang_code=ru").json
    listed: Any = client.get(f"{STATUSES}?lang_code=ru").json

    assert (shown["description"], shown["lang_code"]) == ("Выполнен", "ru")
    assert {status["lang_code"] for status in listed} == {"ru"}
    assert listed[1] == shown


@pytest.mark.parametrize("lang_code", ["de", "", "RU", "%00", "ru%20"])
def test_unknown_language_reads_as_the_default_one(
    client: FlaskClient, lang_code: str
) -> None:
    shown = read(client, f"{COMPLETE}?lang_code={lang_code}")

    assert shown == read(client, COMPLETE)


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


@pytest.mark.one_database
@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("address", [COMPLETE, IN_MAIN_STORE])
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
    refused = client.put(address + query, json={"email_subj": "x", **body})

    assert list(problems(refused)) == ["lang_code"]


def test_fallback_to_the_default_language_goes_field_by_field(restart: Restart) -> None:
    with_german = restart("en,de")
    german = f"{COMPLETE}?lang_code=de"
    english = texts(with_german, COMPLETE)

    assert read(with_german, german)["lang_code"] == "de"
    assert texts(with_german, german) == english

    with_german.put(german, json={"description": "Fertig"})

    assert texts(with_german, german) == ["Fertig", *english[1:]]


def test_empty_text_is_a_text(client: FlaskClient) -> None:
    client.put(f"{COMPLETE}?lang_code=ru", json={"email_subj": ""})

    assert texts(client, f"{COMPLETE}?lang_code=ru")[1] == ""


def test_any_language_is_better_than_none(restart: Restart) -> None:
    german = restart("de,fr")

    listed: Any = german.get(f"{STATUSES}?lang_code=fr").json

    assert [status["description"] for status in listed[:2]] == ["Processed", "Complete"]
    assert {status["lang_code"] for status in listed} == {"fr"}


def test_status_without_any_text_stays_in_the_list(
    app: Flask, client: FlaskClient
) -> None:
    with app.app_context():
        db.session.query(StatusText).delete()
        db.session.commit()

    listed: Any = client.get(STATUSES).json

    assert [[status[name] for name in TEXTS] for status in listed] == [[""] * 3] * 7


def test_created_status_has_its_texts_in_every_language(restart: Restart) -> None:
    client = restart("en,ru,de")
    address = f"{STATUSES}/{create(client)['status_id']}"

    client.put(address, json={"description": "Changed"})

    assert texts(client, f"{address}?lang_code=de") == ["Packed", "", ""]


def test_store_text_has_a_language(client: FlaskClient) -> None:
    russian = texts(client, f"{COMPLETE}?lang_code=ru")

    client.put(IN_MAIN_STORE, data="email_subj=test&lang_code=en")

    assert texts(client, f"{IN_MAIN_STORE}?lang_code=ru") == russian


def test_store_text_in_the_default_language_goes_before_other_languages(
    restart: Restart,
) -> None:
    client = restart("en,de")

    client.put(IN_MAIN_STORE, data="email_subj=test")

    assert texts(client, f"{IN_MAIN_STORE}?lang_code=de")[1] == "test"
