"""The commands of operators, run in the process of the tests, and their file."""

import json
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from order_statuses.database import CHANGE_TAG, db

Json = dict[str, Any]

DRY_RUN = "dry run: nothing was changed\n"
NEW: Json = {"type": "O", "status": "Z", "texts": {"en": {"description": "New"}}}


def run(app: Flask, *arguments: str, **options: Any) -> Any:
    return app.test_cli_runner().invoke(args=["order-statuses", *arguments], **options)


def export(app: Flask) -> str:
    exported = run(app, "export")
    assert exported.exit_code == 0
    text: str = exported.stdout
    return text


def apply(app: Flask, file: object, *options: str) -> Any:
    """Apply a file, or text, from standard input."""
    text = file if isinstance(file, str | bytes) else json.dumps(file)
    return run(app, "apply", "-", *options, input=text)


def of(file: Json, letter: str) -> Any:
    """Return the order status with that letter."""
    key = ("O", letter)
    (found,) = (s for s in file["statuses"] if (s["type"], s["status"]) == key)
    return found


def change_tag(app: Flask) -> str | None:
    with app.app_context():
        return db.session.scalar(CHANGE_TAG)


def change(client: FlaskClient) -> None:
    """Change the default statuses by the API in every way that it has."""
    new = {
        "description": "Packed",
        "email_header": "<b>\u2028</b>",
        "params": {"z": ""},
    }
    client.post("/api/2.0/statuses", json=new)
    client.post("/api/2.0/statuses", json={"type": "G", "description": "Gone"})
    client.put("/api/2.0/statuses/2?lang_code=ru", json={"description": "Готов"})
    order = {"params": {"repay": None, "a.b": "1"}, "is_default": "N"}
    client.put("/api/2.0/statuses/1", json=order)
    client.put("/api/2.0/statuses/1", json={"params": {"repay": "N"}})
    client.put("/api/2.0/stores/2/statuses/2", json={"email_subj": "in store 2"})
    client.put("/api/2.0/stores/1/statuses/2", json={"email_subj": "x"})
    client.put("/api/2.0/stores/1/statuses/2", json={"email_subj": None})
    client.delete("/api/2.0/statuses/3")
    client.delete("/api/2.0/statuses/12")
