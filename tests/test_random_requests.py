"""Random requests, one after another, against a model of the shop in memory."""

import json
import string
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Table

from .conftest import ADMINISTRATOR, client_of, examples_of, restore, service
from .servers import ROOT

LANGUAGES = ["en", "ru", "de"]  # the default statuses have no German
STORES = [None, 1, 2]
TEXTS = ["description", "email_subj", "email_header"]
STATUS_LETTERS = [c for c in string.ascii_uppercase if c not in "NT"] + list(
    string.digits
)

Texts = dict[tuple[int | None, str], dict[str, str | None]]
Rows = dict[Table, list[dict[str, Any]]]

languages = st.sampled_from(LANGUAGES)
stores = st.sampled_from(STORES)
types = st.sampled_from("OG")
numbers = st.integers(0, 20)
texts = st.sampled_from(["", "Packed", "Упакован", "<b>\n</b>"])
params = st.dictionaries(
    st.sampled_from(["note", "color", "A-1"]), st.sampled_from(["#000000", None, ""])
)
changes = st.fixed_dictionaries(
    {},
    optional={
        "description": st.sampled_from(["Packed", " Упакован ", "\u2003"]),
        "email_subj": st.sampled_from(["", "subject", "two\nlines"]),
        "email_header": texts,
        "is_default": st.sampled_from(["Y", "N", "maybe"]),
        "position": st.sampled_from([0, 1, "1", 20, "999999", "-1"]),
        "params": params,
    },
)
store_texts = st.fixed_dictionaries(
    {}, optional={"email_subj": st.none() | texts, "email_header": st.none() | texts}
)


@dataclass
class Known:
    """A status as the model has it; texts stand under store (or None) and language."""

    status: str
    type: str
    is_default: str
    params: dict[str, str]
    position: int = 0
    texts: Texts = field(default_factory=dict)

    def text(self, name: str, lang_code: str, store_id: int | None) -> str:
        preferred = [*product([lang_code], {store_id: 0, None: 0})]
        preferred += product(LANGUAGES[:1], {store_id: 0, None: 0})
        preferred += product(sorted(LANGUAGES), [None])
        found = (self.texts.get((s, code), {}).get(name) for code, s in preferred)
        return next((text for text in found if text is not None), "")

    def shown(self, status_id: int, lang_code: str, store_id: int | None) -> Any:
        return {
            "status_id": str(status_id),
            "status": self.status,
            "type": self.type,
            "is_default": self.is_default,
            **{name: self.text(name, lang_code, store_id) for name in TEXTS},
            "lang_code": lang_code,
            "params": self.params,
        }

    def set(self, store_id: int | None, lang_code: str, sent: dict[str, Any]) -> None:
        row = self.texts.setdefault((store_id, lang_code), {})
        row.update({name: sent[name] for name in TEXTS if name in sent})


def default_statuses() -> dict[int, Known]:
    known = {}
    texts: dict[str, dict[str, str | None]]
    for row in json.loads((ROOT / "seed.json").read_text())["statuses"]:
        status_id, texts = row.pop("status_id"), row.pop("texts")
        common: Texts = {(None, lang_code): text for lang_code, text in texts.items()}
        known[status_id] = Known(**row, texts=common)
    return known


def cleaned(sent: dict[str, Any]) -> dict[str, Any] | None:
    """Return what a status takes of *sent*, or None if that is refused."""
    given = {k: v.strip() if k == "description" else v for k, v in sent.items()}
    subject, params = given.get("email_subj", ""), given.get("params", {})
    if params.get("color") == "":
        given["params"] = params | {"color": None}
    refused = (
        given.get("description") == ""
        or "\n" in subject
        or given.get("is_default") == "maybe"
        or given.get("position") == "-1"
    )
    return None if refused else given


class Shop(RuleBasedStateMachine):
    """Sends each request to the service and to the model, and compares."""

    client: FlaskClient

    def __init__(self) -> None:
        super().__init__()
        self.known = default_statuses()
        self.newest = max(self.known)
        self.freed: list[tuple[str, str]] = []  # types and letters, the oldest first

    def address(self, store_id: int | None, number: int | None = None) -> str:
        """Return the address of a list, or of a known or an unknown status."""
        store = f"/stores/{store_id}" if store_id else ""
        status = "" if number is None else f"/{number}"
        return f"/api/2.0{store}/statuses{status}"

    def pick(self, number: int) -> int:
        """Return the id of a status, and now and then of none."""
        ids = [*self.known, self.newest + 1]
        return ids[number % len(ids)]

    def sorted(self) -> list[tuple[int, Known]]:
        return sorted(self.known.items(), key=lambda row: (row[1].position, row[0]))

    def free_letter(self, type_: str) -> str | None:
        taken = {s.status for s in self.known.values() if s.type == type_}
        freed = [letter for of_type, letter in self.freed if of_type == type_]
        never_used = [c for c in STATUS_LETTERS if c not in taken.union(freed)]
        return next(iter(never_used + freed), None)

    @rule(type_=types, lang_code=languages, sent=changes)
    def create(self, type_: str, lang_code: str, sent: dict[str, Any]) -> None:
        body = {**sent, "type": type_, "lang_code": lang_code}
        response = self.client.post(self.address(None), **as_sent(body))

        fields, letter = cleaned(sent), self.free_letter(type_)
        if not fields or "description" not in fields or not letter:
            assert response.status_code == 400
            return
        assert response.status_code == 201
        self.newest += 1
        created: Any = response.json
        assert created["statuses_id"] == created["status_id"] == str(self.newest)
        given = {k: v for k, v in fields.get("params", {}).items() if v is not None}
        position = int(fields.get("position", 0))
        status = Known(letter, type_, fields.get("is_default", "N"), given, position)
        for code in LANGUAGES:
            status.set(None, code, {**dict.fromkeys(TEXTS, ""), **fields})
        self.known[self.newest] = status
        self.freed = [freed for freed in self.freed if freed != (type_, letter)]

    @rule(number=numbers, lang_code=languages, in_query=st.booleans(), sent=changes)
    def update(
        self, number: int, lang_code: str, in_query: bool, sent: dict[str, Any]
    ) -> None:
        status_id = self.pick(number)
        where = {"lang_code": lang_code}
        body, query = (sent, where) if in_query else ({**sent, **where}, {})
        response = self.client.put(
            self.address(None, status_id), query_string=query, **as_sent(body)
        )

        status, fields = self.known.get(status_id), cleaned(sent)
        if status is None or not fields:
            assert response.status_code == (404 if fields else 400)
            return
        assert (response.status_code, response.json) == (
            200,
            {"status_id": str(status_id)},
        )
        status.is_default = fields.get("is_default", status.is_default)
        status.position = int(fields.get("position", status.position))
        merged = {**status.params, **fields.get("params", {})}
        status.params = {k: v for k, v in merged.items() if v is not None}
        status.set(None, lang_code, fields)

    @rule(
        number=numbers,
        store_id=st.sampled_from([1, 2]),
        code=languages,
        sent=store_texts,
    )
    def set_store_texts(
        self, number: int, store_id: int, code: str, sent: dict[str, Any]
    ) -> None:
        status_id = self.pick(number)
        response = self.client.put(
            self.address(store_id, status_id), **as_sent({**sent, "lang_code": code})
        )

        status = self.known.get(status_id)
        bad = not sent or "\n" in (sent.get("email_subj") or "")
        if status is None or bad:
            assert response.status_code == (400 if bad else 404)
            return
        assert response.status_code == 200
        status.set(store_id, code, sent)

    @rule(number=numbers)
    def delete(self, number: int) -> None:
        status_id = self.pick(number)
        response = self.client.delete(self.address(None, status_id))

        status = self.known.get(status_id)
        if status is None or status.is_default == "Y":
            assert response.status_code == (404 if status is None else 400)
        else:
            assert (response.status_code, response.data) == (204, b"")
            del self.known[status_id]
            self.freed.append((status.type, status.status))

    @rule(number=numbers, store_id=stores, code=languages)
    def show(self, number: int, store_id: int | None, code: str) -> None:
        status_id = self.pick(number)
        response = self.client.get(
            f"{self.address(store_id, status_id)}?lang_code={code}"
        )

        status = self.known.get(status_id)
        if status is None:
            assert response.status_code == 404
        else:
            assert response.data == compact(status.shown(status_id, code, store_id))

    @rule(type_=types, store_id=stores, code=languages, size=st.sampled_from([0, 3]))
    def index(self, type_: str, store_id: int | None, code: str, size: int) -> None:
        query = f"type={type_}&lang_code={code}&items_per_page={size}"
        response = self.client.get(f"{self.address(store_id)}?{query}")

        shown = [
            status.shown(status_id, code, store_id)
            for status_id, status in self.sorted()
            if status.type == type_
        ]
        assert response.data == compact(shown[: size or None])
        assert response.headers["X-Total-Count"] == str(len(shown))

    def compare_all(self) -> None:
        for type_, store_id, code in product("OG", STORES, LANGUAGES):
            self.index(type_, store_id, code, 0)


def as_sent(body: Any) -> dict[str, Any]:
    # Flask's own json= would sort the keys.
    return {"data": json.dumps(body), "content_type": "application/json"}


def compact(body: Any) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


@pytest.fixture
def app(database: str) -> Iterator[Flask]:
    """A service with a language that the default statuses lack."""
    with service(database, ORDER_STATUSES_LANGUAGES=",".join(LANGUAGES)) as app:
        yield app


@pytest.mark.parametrize(
    ("examples", "steps"),
    [
        pytest.param(5, 30, id="few", marks=pytest.mark.one_database),
        pytest.param(50, 50, id="many", marks=pytest.mark.slow),
    ],
)
def test_service_and_model_agree(
    app: Flask, rows: Rows, examples: int, steps: int
) -> None:
    class Connected(Shop):
        client = client_of(app, ADMINISTRATOR)

        def teardown(self) -> None:
            try:
                self.compare_all()
            finally:
                restore(app, rows)

    run_state_machine_as_test(
        Connected,
        settings=examples_of(examples, anew=examples > 20, stateful_step_count=steps),
    )
