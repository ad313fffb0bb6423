"""The letters: which one a new status gets, and what becomes of a freed one."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import insert, select

from order_statuses.database import db
from order_statuses.models import FreedLetter, Status
from order_statuses.schemas import STATUS_LETTERS

from .commands import NEW, apply, export, run
from .conftest import ADMINISTRATOR, client_of, service
from .statuses import ORDER_LETTERS, STATUSES, create

Json = dict[str, Any]

FREED = {"type": "O", "status": "A", "freed_at": "2026-01-31T12:00:00.000000Z"}


def create_all(client: FlaskClient) -> dict[str, str]:
    """Create statuses until no letter is left; return their addresses by letter."""
    statuses = [create(client) for _ in ORDER_LETTERS]
    return {s["status"]: f"{STATUSES}/{s['status_id']}" for s in statuses}


def freed_letters(app: Flask) -> list[str]:
    with app.app_context():
        letters = db.session.scalars(select(FreedLetter.status))
        return sorted(letters)


def note_as_freed(app: Flask, letters: str, freed_at: datetime) -> None:
    rows = [{"type": "O", "status": letter, "freed_at": freed_at} for letter in letters]
    with app.app_context():
        db.session.execute(insert(FreedLetter), rows)
        db.session.commit()


def test_letter_of_a_deleted_status_is_not_that_of_the_next(
    client: FlaskClient,
) -> None:
    shipped = create(client, description="Shipped")
    client.delete(f"{STATUSES}/{shipped['status_id']}")

    refused = create(client, description="Refund refused")

    assert (shipped["status"], refused["status"]) == ("A", "E")
    assert refused["status_id"] == "13"


def test_letters_come_back_when_no_other_is_left_the_longest_free_first(
    client: FlaskClient,
) -> None:
    client.put(f"{STATUSES}/2", json={"is_default": "N"})
    client.delete(f"{STATUSES}/2")  # C, which is free again before all others
    addresses = create_all(client)
    for letter in "Z0AM":
        assert client.delete(addresses[letter]).status_code == 204

    assert "".join(addresses) == ORDER_LETTERS
    assert len(ORDER_LETTERS) + len("PCOFDBI") == len(STATUS_LETTERS) == 34
    assert [create(client)["status"] for _ in "CZ0AM"] == list("CZ0AM")
    assert client.post(STATUSES, json={"description": "x"}).json == {
        "message": "Bad Request: All letters of this type are taken; "
        "delete a status first.",
        "status": 400,
    }


def test_letter_that_is_freed_twice_is_free_since_the_second_time(
    app: Flask, client: FlaskClient
) -> None:
    addresses = create_all(client)
    client.delete(addresses["A"])
    again = create(client)
    client.delete(addresses["E"])
    client.delete(f"{STATUSES}/{again['status_id']}")

    assert again["status"] == "A"
    assert freed_letters(app) == ["A", "E"]
    assert [create(client)["status"] for _ in "EA"] == ["E", "A"]
    assert freed_letters(app) == []


def test_letters_that_were_freed_at_once_come_in_their_order(
    app: Flask, client: FlaskClient
) -> None:
    now = datetime.now(UTC).replace(tzinfo=None)
    note_as_freed(app, ORDER_LETTERS[::-1], now)

    assert [create(client)["status"] for _ in "AEG"] == ["A", "E", "G"]


def test_one_microsecond_is_longer(app: Flask, client: FlaskClient) -> None:
    now = datetime.now(UTC).replace(tzinfo=None)
    note_as_freed(app, ORDER_LETTERS.replace("X", ""), now)
    note_as_freed(app, "X", now - timedelta(microseconds=1))

    assert create(client)["status"] == "X"


def test_letter_in_use_is_never_given_whatever_the_table_says(
    app: Flask, client: FlaskClient
) -> None:
    note_as_freed(app, "P", datetime(2020, 1, 1))
    create_all(client)

    assert client.post(STATUSES, json={"description": "x"}).status_code == 400


def test_each_type_has_letters_of_its_own(client: FlaskClient) -> None:
    created = create(client)
    client.delete(f"{STATUSES}/{created['status_id']}")

    assert create(client, type="G")["status"] == "B"
    assert create(client)["status"] == "E"


def test_two_creations_at_once_get_two_freed_letters(
    app: Flask, client: FlaskClient
) -> None:
    addresses = create_all(client)
    for letter in "Z0":
        client.delete(addresses[letter])

    def create_one(_: int) -> int:
        one = client_of(app, ADMINISTRATOR)
        return one.post(STATUSES, json={"description": "Packed"}).status_code

    with ThreadPoolExecutor(6) as threads:
        codes = sorted(threads.map(create_one, range(6)))

    assert codes == [201, 201, 400, 400, 400, 400]
    letters = [status["status"] for status in client.get(STATUSES).get_json()]
    assert (letters[-2:], len(set(letters))) == (["Z", "0"], 34)


def test_deletion_that_is_rolled_back_frees_no_letter(
    app: Flask, client: FlaskClient
) -> None:
    created = create(client)
    with app.app_context():
        db.session.delete(db.session.get_one(Status, 12))
        db.session.flush()
        within = list(db.session.scalars(select(FreedLetter.status)))
        db.session.rollback()

    assert (created["status"], within) == ("A", ["A"])
    assert freed_letters(app) == []
    assert client.get(f"{STATUSES}/12").status_code == 200


def test_deletion_in_a_session_of_the_shop_frees_the_letter(
    app: Flask, client: FlaskClient
) -> None:
    create(client)
    with app.app_context():
        packed = db.session.get_one(Status, 12)
        db.session.commit()  # which expires it
        db.session.delete(packed)
        db.session.commit()

    assert freed_letters(app) == ["A"]
    assert create(client)["status"] == "E"


def test_status_that_the_shop_adds_has_its_letter(
    app: Flask, client: FlaskClient
) -> None:
    create(client)
    client.delete(f"{STATUSES}/12")
    with app.app_context():
        db.session.add(Status(type="O", status="A"))
        db.session.commit()

    assert freed_letters(app) == []


def test_statuses_that_are_pruned_free_their_letters(app: Flask) -> None:
    file = json.loads(export(app))
    file["statuses"] = [s for s in file["statuses"] if s["is_default"] == "Y"]

    apply(app, file, "--prune", "--dry-run")
    assert freed_letters(app) == []

    assert apply(app, file, "--prune").exit_code == 0
    assert freed_letters(app) == ["B"]

    file["statuses"].append(NEW | {"status": "B"})
    assert apply(app, file).exit_code == 0
    assert freed_letters(app) == []


def everything(app: Flask, file: Path) -> Any:
    """Return what ``export --users`` writes."""
    file.unlink(missing_ok=True)
    assert run(app, "export", "--users", str(file)).exit_code == 0
    return json.loads(file.read_text())


def test_freed_letters_move_with_everything(
    app: Flask, client: FlaskClient, empty_database: str, tmp_path: Path
) -> None:
    create(client)
    client.delete(f"{STATUSES}/12")
    client.delete(f"{STATUSES}/3")
    with app.app_context():
        db.session.add(FreedLetter(type="X", status="A", freed_at=datetime(2026, 1, 1)))
        db.session.get_one(FreedLetter, ("O", "A")).freed_at = datetime(2026, 1, 31, 12)
        db.session.commit()
    file = tmp_path / "file"
    written = everything(app, file)

    assert "freed_letters" not in json.loads(export(app))
    assert written["freed_letters"][0] == FREED
    assert [row["status"] for row in written["freed_letters"]] == ["A", "B"]
    with service(empty_database) as moved:
        assert run(moved, "init", str(file)).exit_code == 0
        assert run(moved, "apply", "--users", str(file)).exit_code == 0

        assert everything(moved, tmp_path / "again") == written
        assert create(client_of(moved, ADMINISTRATOR))["status"] == "E"


def test_freed_letter_that_a_status_of_the_file_has_is_ignored(
    app: Flask, empty_database: str, tmp_path: Path
) -> None:
    file = json.loads(export(app))
    file["freed_letters"] = [FREED, FREED | {"status": "P"}]
    path = tmp_path / "file"
    path.write_text(json.dumps(file))

    with service(empty_database) as made:
        assert run(made, "init", str(path)).exit_code == 0
        assert freed_letters(made) == ["A"]


def test_apply_leaves_freed_letters_alone(app: Flask) -> None:
    file = json.loads(export(app)) | {"freed_letters": [FREED]}

    assert apply(app, file, "--prune").stdout == "unchanged: 11\napplied\n"
    assert freed_letters(app) == []


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("freed", "problem"),
    [
        ([FREED | {"status": "N"}], "freed_letters[0].status: Must be one of"),
        ([FREED | {"type": "X"}], "freed_letters[0].type: Must be one of: O, G."),
        ([FREED | {"freed_at": 5}], "freed_letters[0].freed_at: Not a valid"),
        ([FREED | {"freed_at": "2026-01-31"}], "freed_letters[0].freed_at: Not a"),
        ([FREED, FREED], "freed_letters[1].status: freed_letters[0] has the same"),
        ([FREED | {"by": "me"}], "freed_letters[0].by: Unknown field."),
        (None, "freed_letters: Field may not be null."),
    ],
)
def test_wrong_freed_letter_of_a_file_is_named(
    app: Flask, freed: Any, problem: str
) -> None:
    refused = apply(app, json.loads(export(app)) | {"freed_letters": freed})

    assert refused.exit_code == 1
    assert problem in refused.stderr
