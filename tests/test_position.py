"""The shop's own order of the statuses."""

import json
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from order_statuses.database import db
from order_statuses.models import Status
from order_statuses.reading import get_status_or_404, list_statuses

from .commands import DRY_RUN, NEW, apply, export, of
from .conftest import ADMINISTRATOR, client_of, service
from .statuses import IN_STORE, STATUSES, create, problems, read
from .statuses import ids as ids_of


def ids(client: FlaskClient, address: str = STATUSES) -> list[str]:
    return ids_of(client.get(address))


def test_lists_are_sorted_by_position_and_then_by_id(client: FlaskClient) -> None:
    for status_id, position in (("1", 30), ("5", 2), ("3", 30), ("8", 1)):
        client.put(f"{STATUSES}/{status_id}", json={"position": position})

    assert ids(client) == ids(client, IN_STORE) == list("2467513")
    assert ids(client, f"{STATUSES}?type=G") == ["9", "10", "11", "8"]
    assert ids(client, f"{STATUSES}?items_per_page=3&page=2") == list("751")
    assert ids(client, f"{STATUSES}?status=P,D") == ["5", "1"]


def test_new_status_is_where_it_is_put(client: FlaskClient) -> None:
    for status_id in "1234567":
        client.put(f"{STATUSES}/{status_id}", json={"position": 10})

    create(client)
    create(client, position="5")

    assert ids(client) == ["12", "13", *"1234567"]


@pytest.mark.one_database
@pytest.mark.parametrize("position", [0, "0", 7, "20", 999_999, "999999"])
def test_position_is_a_number_or_its_digits(
    app: Flask, client: FlaskClient, position: int | str
) -> None:
    updated = client.put(f"{STATUSES}/1", json={"position": position})

    assert updated.status_code == 200
    create(client, position=position)
    with app.app_context():
        for status_id in ("1", "12"):
            assert get_status_or_404(status_id).position == str(position)


@pytest.mark.one_database
@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "position",
    [
        *(True, False, -1, 10**6, 1.5, [], [7], {}, "", "7\n"),
        *"+1 01 1000000 1e3 x ٣".split(),
    ],
)
def test_anything_else_is_no_position(client: FlaskClient, position: Any) -> None:
    sent = {"description": "Packed", "position": position}
    for refused in (
        client.put(f"{STATUSES}/1", json=sent),
        client.post(STATUSES, json=sent),
    ):
        assert problems(refused) == {
            "position": ["Must be a whole number from 0 to 999999."]
        }


@pytest.mark.one_database
def test_position_is_set_by_a_form(client: FlaskClient) -> None:
    assert client.put(f"{STATUSES}/1", data="position=7").status_code == 200
    assert client.put(f"{STATUSES}/1", data="position=").status_code == 400
    assert ids(client) == list("2345671")


@pytest.mark.one_database
def test_object_of_a_status_keeps_its_nine_fields(client: FlaskClient) -> None:
    client.put(f"{STATUSES}/2", json={"position": 20})

    for shown in (read(client, f"{STATUSES}/2"), read(client, f"{IN_STORE}/2")):
        assert len(shown) == 9
        assert "position" not in shown


@pytest.mark.one_database
def test_object_of_a_status_has_its_position_if_the_setting_says_so(
    database: str,
) -> None:
    with service(database, ORDER_STATUSES_POSITION="yes") as app:
        client = client_of(app, ADMINISTRATOR)
        client.put(f"{STATUSES}/2", json={"position": 20})

        for status in (
            read(client, f"{STATUSES}/2"),
            read(client, f"{IN_STORE}/2"),
            client.get(STATUSES).get_json()[-1],
        ):
            assert list(status)[3:6] == ["is_default", "position", "description"]
            assert status["position"] == "20"
        assert read(client, f"{STATUSES}/1")["position"] == "0"


@pytest.mark.one_database
def test_position_is_always_there_in_process(app: Flask, client: FlaskClient) -> None:
    client.put(f"{STATUSES}/2", json={"position": 20})
    with app.app_context():
        assert {status.position for status in list_statuses("O")} == {"0", "20"}


@pytest.mark.one_database
def test_store_ignores_a_position(client: FlaskClient) -> None:
    both = {"email_subj": "x", "position": "x"}

    assert client.put(f"{IN_STORE}/1", json=both).status_code == 200
    assert client.put(f"{IN_STORE}/1", json={"position": 1}).status_code == 400
    assert ids(client) == list("1234567")


def test_position_moves_with_a_file(app: Flask, client: FlaskClient) -> None:
    before = export(app)
    client.put(f"{STATUSES}/2", json={"position": 20})
    arranged = export(app)

    planned = apply(app, before, "--dry-run")
    applied = apply(app, before)

    assert {status["position"] for status in json.loads(before)["statuses"]} == {0}
    assert of(json.loads(arranged), "C")["position"] == 20
    assert list(of(json.loads(arranged), "C"))[3:5] == ["is_default", "position"]
    assert planned.stdout == applied.stdout.replace("applied\n", DRY_RUN)
    assert "changed O C\n  position: 20 → 0\n" in applied.stdout
    assert export(app) == before
    assert apply(app, arranged).exit_code == 0
    assert export(app) == arranged


def test_file_without_positions_leaves_them(app: Flask, client: FlaskClient) -> None:
    client.put(f"{STATUSES}/2", json={"position": 20})
    file = json.loads(export(app))
    for status in file["statuses"]:
        del status["position"]
    file["statuses"].append(NEW)

    assert apply(app, file).stdout == "created O Z 'New'\nunchanged: 11\napplied\n"
    with app.app_context():
        assert db.session.get_one(Status, 2).position == 20
        assert db.session.get_one(Status, 12).position == 0
        db.session.remove()

    assert "changed O C\n  position: 20 → 0\n" in apply(app, file, "--prune").stdout


@pytest.mark.one_database
@pytest.mark.parametrize("position", [None, "", True, 10**6, "01"])
def test_wrong_position_of_a_file_is_named(app: Flask, position: Any) -> None:
    file = json.loads(export(app))
    file["statuses"][0]["position"] = position

    refused = apply(app, file)

    assert refused.exit_code == 1
    assert "statuses[0].position: " in refused.stderr
