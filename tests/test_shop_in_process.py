"""Reading and writing in the process of a shop, without HTTP."""

import json
import logging
import pickle
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError, asdict
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from marshmallow import ValidationError
from werkzeug.exceptions import BadRequest, NotFound, ServiceUnavailable

from order_statuses import (
    Caller,
    Status,
    create_status,
    delete_status,
    find_status,
    list_statuses,
    reading,
    status_created,
    status_deleted,
    status_updated,
    update_status,
)
from order_statuses.models import ChangeTag, StatusText

from .conftest import settings_of, statements_of
from .small_shop import STATUSES, db, open_shop, receiving

JOB = "nightly job"
PACKED = {"description": "Packed", "params": {"color": "#97cf4d"}}


@pytest.fixture
def shop(database: str) -> Iterator[Flask]:
    """A shop, in an application context as jobs have."""
    with open_shop(database) as shop, shop.app_context():
        yield shop


@pytest.fixture
def visitor(shop: Flask) -> FlaskClient:
    return shop.test_client()


def test_statuses_are_listed_as_over_http(shop: Flask, visitor: FlaskClient) -> None:
    read = [asdict(status) for status in list_statuses("O", lang_code="ru")]
    shown = visitor.get(f"{STATUSES}?lang_code=ru").json

    assert [status.pop("position") for status in read] == ["0"] * 7
    assert json.dumps(read) == json.dumps(shown)


@pytest.mark.one_database
def test_statuses_are_listed_as_a_store_sees_them(shop: Flask) -> None:
    update_status(2, {"email_subj": "is ready"}, store_id=2, caller=JOB)

    assert list_statuses("O")[1].email_subj == "has been completed"
    assert list_statuses("O", store_id=2)[1].email_subj == "is ready"


@pytest.mark.one_database
def test_fields_do_not_depend_on_the_order_of_columns(
    shop: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = list_statuses("O")
    tag, *columns = reading.STATUSES_OF_TYPE.selected_columns
    reordered = reading.STATUSES_OF_TYPE.with_only_columns(
        tag, *reversed(columns), maintain_column_froms=True
    )
    monkeypatch.setattr(reading, "STATUSES_OF_TYPE", reordered)

    assert list_statuses("O") == read


@pytest.mark.one_database
def test_what_is_read_is_immutable(shop: Flask) -> None:
    status = list_statuses("O")[0]

    with pytest.raises(FrozenInstanceError):
        status.description = "x"  # type: ignore[misc]
    with pytest.raises(TypeError):
        status.params["color"] = "x"  # type: ignore[index]
    assert pickle.loads(pickle.dumps(status)) == status  # noqa: S301
    assert len({status, status}) == 1


def test_shop_reads_in_its_own_transaction(shop: Flask) -> None:
    db.get_or_404(Status, 2).params = {"color": "#000000"}

    assert list_statuses("O")[1].params == {"color": "#000000"}


@pytest.mark.parametrize(
    ("letter", "type_", "description"),
    [
        ("C", "O", "Complete"),
        ("C", "G", "Disabled"),
        ("?", "O", None),
        ("C", "X", None),
    ],
)
def test_status_is_found_by_its_letter(
    shop: Flask, letter: str, type_: str, description: str | None
) -> None:
    with statements_of(shop) as statements:
        status = find_status(letter, type_)

    assert (status and status.description) == description
    assert len(statements) <= 1


def test_status_is_found_as_a_language_and_a_store_see_it(shop: Flask) -> None:
    update_status(2, {"email_subj": "готов"}, lang_code="ru", store_id=1, caller=JOB)

    found = find_status("C", lang_code="ru", store_id=1)
    assert found is not None
    assert (found.email_subj, found.lang_code) == ("готов", "ru")


def test_statuses_are_written_in_process(shop: Flask, visitor: FlaskClient) -> None:
    created = create_status(PACKED, caller=JOB)
    assert (created.status, created.lang_code, created.params) == (
        "A",
        "en",
        {"color": "#97cf4d"},
    )
    assert visitor.get(f"{STATUSES}/12?lang_code=ru").json == {
        **visitor.get(f"{STATUSES}/12").json,  # type: ignore[dict-item]
        "lang_code": "ru",
    }

    updated = update_status(
        int(created.status_id), {"description": "Упакован"}, lang_code="ru", caller=JOB
    )
    assert (updated.description, updated.lang_code) == ("Упакован", "ru")
    body = {"description": "Wrapped", "lang_code": "en"}
    assert update_status("12", body, lang_code="ru", caller=JOB).lang_code == "en"
    of_store = update_status("12", {"email_subj": "in 1"}, store_id="1", caller=JOB)
    assert (of_store.email_subj, of_store.description) == ("in 1", "Wrapped")
    assert update_status("12", {"position": 3}, caller=JOB).email_subj == ""

    delete_status(12, caller=JOB)
    assert visitor.get(f"{STATUSES}/12").status_code == 404


WRONG: list[tuple[type[Exception], Callable[[], object]]] = [
    (ValidationError, lambda: create_status({}, caller=JOB)),
    (ValidationError, lambda: create_status({**PACKED, "type": "X"}, caller=JOB)),
    (ValidationError, lambda: update_status(2, {}, caller=JOB)),
    (ValidationError, lambda: update_status(2, {"params": {"n": "\0"}}, caller=JOB)),
    (ValidationError, lambda: update_status(2, PACKED, lang_code="xx", caller=JOB)),
    (ValidationError, lambda: update_status(2, PACKED, store_id=1, caller=JOB)),
    (NotFound, lambda: update_status(99, PACKED, caller=JOB)),
    (NotFound, lambda: update_status(2, {"email_subj": ""}, store_id=9, caller=JOB)),
    (NotFound, lambda: delete_status("abc", caller=JOB)),
    (BadRequest, lambda: delete_status(1, caller=JOB)),
]


@pytest.mark.parametrize(("error", "write"), WRONG)
def test_wrong_write_raises_what_the_api_does_and_changes_nothing(
    shop: Flask, visitor: FlaskClient, error: type[Exception], write: Any
) -> None:
    before = visitor.get(STATUSES).json
    with receiving(status_updated, shop) as received, pytest.raises(error):
        write()

    assert visitor.get(STATUSES).json == before
    assert received == []


def test_write_asks_the_shop_before_a_delete(shop: Flask) -> None:
    settings_of(shop)["ORDER_STATUSES_COUNT_ORDERS"] = lambda status: 2
    with pytest.raises(BadRequest, match="Orders use this status: 2"):
        delete_status(3, caller=JOB)


def test_veto_that_writes_itself_is_refused(
    shop: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    def count(_: object) -> int:
        create_status(PACKED, caller="veto")
        return 0

    settings_of(shop)["ORDER_STATUSES_COUNT_ORDERS"] = count
    with pytest.raises(ServiceUnavailable):
        delete_status(3, caller=JOB)

    assert "Another write has not ended" in caplog.text
    assert create_status(PACKED, caller=JOB).status == "A"


def test_write_needs_a_database_that_is_set_up(shop: Flask) -> None:
    db.session.delete(db.session.get_one(ChangeTag, 1))
    db.session.commit()
    with pytest.raises(ServiceUnavailable):
        create_status(PACKED, caller=JOB)


def test_signals_and_log_have_the_caller(
    shop: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "order_statuses")
    with (
        receiving(status_created, shop) as created,
        receiving(status_deleted, shop) as deleted,
    ):
        create_status(PACKED, caller=JOB)
        delete_status("12", caller=JOB)

    assert [v["caller"] for v in created + deleted] == [Caller(JOB)] * 2
    line = "'nightly job' - in process 12"
    assert caplog.messages[0].startswith(f"{line} ['type', 'description', ")
    assert caplog.messages[1].startswith(f"{line} {{'type': 'O', ")


def test_receiver_may_write_again(
    shop: Flask, visitor: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "order_statuses")

    def paint(_: Flask, status: Any, caller: Caller, **__: Any) -> None:
        if caller.name != "painter":
            color = {"params": {"color": "#000000"}}
            update_status(status.status_id, color, caller="painter")

    with status_updated.connected_to(paint, shop):
        visitor.put(f"{STATUSES}/2", json={"description": "By HTTP"})
        update_status(2, {"description": "In process"}, caller=JOB)

    found = find_status("C")
    assert found is not None
    assert (found.description, found.params["color"]) == ("In process", "#000000")
    by = [message.partition(" 2 ")[0] for message in caplog.messages]
    assert by == [
        f"\"the shop's owner\" - PUT '{STATUSES}/2'",
        "'painter' - in process",
        "'nightly job' - in process",
        "'painter' - in process",
    ]


def add() -> None:
    db.session.add(Status(type="O", status="E"))


def change() -> None:
    db.session.get_one(Status, 2).position = 5


def delete() -> None:
    db.session.delete(db.session.get_one(StatusText, (2, "ru")))


@pytest.mark.parametrize("begin", [add, change, delete])
def test_write_refuses_to_commit_what_the_shop_has_begun(
    shop: Flask, begin: Callable[[], None]
) -> None:
    begin()
    with pytest.raises(RuntimeError, match="ommit or roll back your own changes first"):
        update_status(2, PACKED, caller=JOB)

    db.session.flush()  # which goes with the write
    update_status(2, PACKED, caller=JOB)
    assert not db.session().in_transaction()
