"""The commands of operators, run in the process of the tests, and their file."""

import json
from typing import Any

from flask import Flask

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
