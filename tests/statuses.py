"""Statuses over HTTP: how the tests create and read them, and what an error is."""

from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

STATUSES = "/api/2.0/statuses"
IN_STORE = "/api/2.0/stores/1/statuses"
ORDER_LETTERS = "AEGHJKLMQRSUVWXYZ0123456789"  # which no default status has


def create(client: FlaskClient, **fields: Any) -> dict[str, Any]:
    """Create a status and read it back."""
    created = client.post(STATUSES, json={"description": "Packed", **fields})
    assert created.status_code == 201, created.text
    return read(client, created.headers["Location"])


def read(client: FlaskClient, address: str) -> dict[str, Any]:
    shown: dict[str, Any] | None = client.get(address).json
    assert shown is not None
    return shown


def ids(response: TestResponse) -> list[str]:
    """Return the ids of the statuses in a list."""
    return [status["status_id"] for status in response.get_json()]


def problems(response: TestResponse) -> dict[str, list[str]]:
    """Return what is wrong with a request, by its fields."""
    assert_error(response, 400)
    errors: dict[str, list[str]] = response.get_json()["errors"]
    return errors


def assert_error(response: TestResponse, code: int) -> None:
    """Assert that *response* is the JSON error that clients recognise."""
    assert response.status_code == code
    assert response.content_type == "application/json"
    body = response.get_json()
    assert body["status"] == code
    phrase = response.status.partition(" ")[2].lower()
    assert body["message"].lower().startswith(f"{phrase}: ")
