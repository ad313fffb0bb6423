"""The command export: what it writes."""

import json
from itertools import count
from pathlib import Path
from threading import Thread, current_thread, main_thread
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from .commands import export, of, run
from .conftest import ADMINISTRATOR, client_of, watching


def test_export_is_canonical(app: Flask) -> None:
    text = export(app)
    exported = json.loads(text)

    assert text == json.dumps(exported, ensure_ascii=False, indent=2) + "\n"
    assert [(s["type"], s["status"]) for s in exported["statuses"]] == sorted(
        (s["type"], s["status"]) for s in exported["statuses"]
    )
    assert (
        of(exported, "P")
        == {"position": 0}
        | json.loads(Path("seed.json").read_text(encoding="utf-8"))["statuses"][0]
    )


def test_empty_text_is_exported_and_none_is_not(
    app: Flask, client: FlaskClient
) -> None:
    client.put("/api/2.0/statuses/2?lang_code=ru", json={"email_subj": ""})
    for text in ("x", None):
        client.put("/api/2.0/stores/1/statuses/2", json={"email_subj": text})
    client.put("/api/2.0/stores/1/statuses/2", json={"email_header": ""})

    exported = of(json.loads(export(app)), "C")

    assert exported["texts"]["ru"]["email_subj"] == ""
    assert exported["store_texts"] == {"1": {"en": {"email_header": ""}}}


def test_export_is_of_one_moment_while_others_write(app: Flask, tmp_path: Path) -> None:
    client, file, numbers = client_of(app, ADMINISTRATOR), tmp_path / "file", count()

    def change_all(number: int) -> None:
        changes = {"position": number, "description": f"Text {number}"}
        client.put("/api/2.0/statuses/2", json=changes)
        client.post("/api/2.0/statuses", json={"description": f"New {number}"})
        run(app, "add-user", f"user{number}@shop.example")

    def write(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        # A bound, since an export that waits for silence would never end.
        is_export = current_thread() is main_thread()
        if is_export and "FROM order" in statement and (number := next(numbers)) < 8:
            other = Thread(target=change_all, args=(number,))  # its own session
            other.start()
            other.join()

    with watching(app, "before_cursor_execute", write):
        assert run(app, "export", str(file), "--users").exit_code == 0

    exported = json.loads(file.read_text())
    complete, letters = of(exported, "C"), {s["status"] for s in exported["statuses"]}
    assert complete["position"] == 0
    assert complete["texts"]["en"]["description"] == "Text 0"
    assert letters & {"A", "E", "G"} == {"A"}
    assert len(exported["users"]) == 3
