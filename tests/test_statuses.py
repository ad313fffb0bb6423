"""The resource /statuses: reading, creating, changing, deleting."""

from json import dumps

import pytest
from flask.testing import FlaskClient

from .statuses import STATUSES, assert_error, create, problems, read

TEXTS = ("description", "email_subj", "email_header")


def test_created_status_reads_back_in_the_documentations_order(
    client: FlaskClient,
) -> None:
    sent = {
        "type": "O",
        "description": "Packed",
        "email_subj": "is packed",
        "email_header": "<p>Packed!</p>\n",
        "params": {"notify": "Y", "color": "#97cf4d"},
    }

    created = client.post(STATUSES, data=dumps(sent), content_type="text/json")

    assert created.json == {"statuses_id": "12", "status_id": "12"}
    assert created.headers["Location"] == f"{STATUSES}/12"
    shown = read(client, f"{STATUSES}/12")
    assert list(shown.items()) == [
        ("status_id", "12"),
        ("status", "A"),
        ("type", "O"),
        ("is_default", "N"),
        ("description", "Packed"),
        ("email_subj", "is packed"),
        ("email_header", "<p>Packed!</p>\n"),
        ("lang_code", "en"),
        ("params", {"notify": "Y", "color": "#97cf4d"}),
    ]
    assert list(shown["params"]) == ["notify", "color"]
    assert read(client, f"{STATUSES}/12?lang_code=ru") == shown | {"lang_code": "ru"}


def test_create_needs_a_description_alone(client: FlaskClient) -> None:
    assert create(client) == {
        "status_id": "12",
        "status": "A",
        "type": "O",
        "is_default": "N",
        "description": "Packed",
        "email_subj": "",
        "email_header": "",
        "lang_code": "en",
        "params": {},
    }


def test_fields_that_the_service_sets_are_ignored(client: FlaskClient) -> None:
    shown = create(client, status="Z", status_id="77", colour="red")

    assert (shown["status_id"], shown["status"]) == ("12", "A")
    assert "colour" not in shown


@pytest.mark.parametrize(
    "change",
    [
        {"description": "Done"},
        {"email_subj": ""},
        {"email_header": "<b>Done</b>"},
        {"is_default": "N"},
    ],
)
def test_update_keeps_what_was_not_sent(
    client: FlaskClient, change: dict[str, str]
) -> None:
    before = read(client, f"{STATUSES}/2")
    russian = read(client, f"{STATUSES}/2?lang_code=ru")

    updated = client.put(f"{STATUSES}/2", json=change | {"type": "ignored"})

    assert (updated.status_code, updated.json) == (200, {"status_id": "2"})
    assert read(client, f"{STATUSES}/2") == before | change
    untouched = {name: russian[name] for name in TEXTS}
    assert read(client, f"{STATUSES}/2?lang_code=ru").items() >= untouched.items()


@pytest.mark.one_database
@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "fields",
    [{}, {"status": "Z"}, {"status_id": "9"}, {"type": "G"}, {"lang_code": "ru"}],
)
def test_update_needs_something_to_update(
    client: FlaskClient, fields: dict[str, str]
) -> None:
    refused = client.put(f"{STATUSES}/2", json=fields)

    assert_error(refused, 400)
    assert "Nothing to update" in refused.text


@pytest.mark.one_database
@pytest.mark.usefixtures("unchanged")
def test_update_names_what_it_cannot_update(client: FlaskClient) -> None:
    misplaced = {"color": "#ffffff", "status": "Z", "lang_code": "ru", "x" * 99: ""}

    assert problems(client.put(f"{STATUSES}/2", json=misplaced)) == {
        "_schema": [
            "Nothing to update; send description, email_subj, email_header, "
            "is_default, position or params. 'color' cannot be updated; "
            "send params.color. "
            f"'status' cannot be updated. '{'x' * 64}' cannot be updated."
        ]
    }


def test_deleted_status_is_gone(client: FlaskClient) -> None:
    deleted = client.delete(f"{STATUSES}/3", content_type="application/json")
    again = client.delete(f"{STATUSES}/3")

    assert (deleted.status_code, deleted.data) == (204, b"")
    assert "Content-Type" not in deleted.headers
    assert again.status_code == 404
    assert client.get(f"{STATUSES}/3").status_code == 404


def test_default_status_is_deleted_once_it_is_no_default_any_more(
    client: FlaskClient,
) -> None:
    refused = client.delete(f"{STATUSES}/1")
    still = client.put(f"{STATUSES}/1", json={"is_default": "N"})

    assert (refused.status_code, still.status_code) == (400, 200)
    assert client.delete(f"{STATUSES}/1").status_code == 204
