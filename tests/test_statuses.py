"""The resource /statuses: reading, creating, changing, deleting."""

from json import dumps
from typing import Any

import pytest
from flask.testing import FlaskClient

from order_statuses import schemas

STATUSES = "/api/2.0/statuses"
ORDER_LETTERS = "AEGHJKLMQRSUVWXYZ0123456789"


def create(client: FlaskClient, **fields: Any) -> dict[str, Any]:
    """Create a status and read it back."""
    created = client.post(STATUSES, json={"description": "Packed", **fields})
    assert created.status_code == 201, created.text
    return read(client, created.headers["Location"])


def read(client: FlaskClient, address: str) -> dict[str, Any]:
    shown: dict[str, Any] | None = client.get(address).json
    assert shown is not None
    return shown


def problems(client: FlaskClient, **fields: Any) -> dict[str, list[str]]:
    """Return what is wrong with the fields of a status to be created."""
    refused = client.post(STATUSES, json={"description": "Packed", **fields})
    assert refused.status_code == 400
    assert refused.json is not None
    errors: dict[str, list[str]] = refused.json["errors"]
    return errors


def test_list_has_the_default_statuses_of_the_type(client: FlaskClient) -> None:
    orders = client.get(STATUSES).json
    certificates = client.get(f"{STATUSES}?type=G").json

    assert orders is not None
    assert certificates is not None
    assert [status["status_id"] for status in orders] == list("1234567")
    assert [status["status_id"] for status in certificates] == ["8", "9", "10", "11"]


@pytest.mark.parametrize("type_", ["X", "OO", "o", "%00", "%ED%A0%80"])
def test_unknown_type_has_no_statuses(client: FlaskClient, type_: str) -> None:
    response = client.get(f"{STATUSES}?type={type_}")

    assert (response.status_code, response.json) == (200, [])


def test_status_has_its_keys_in_the_documentations_order(client: FlaskClient) -> None:
    assert list(read(client, f"{STATUSES}/1")) == [
        "status_id",
        "status",
        "type",
        "is_default",
        "description",
        "email_subj",
        "email_header",
        "lang_code",
        "params",
    ]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "status_id",
    ["999", "0", "007", "abc", "1.5", "-1", "+1", "1_0", "%D9%A1", "9" * 19, "9" * 30],
)
def test_no_such_status(client: FlaskClient, method: str, status_id: str) -> None:
    response = client.open(
        f"{STATUSES}/{status_id}", method=method, data="description=Test"
    )

    assert response.status_code == 404
    assert response.content_type == "application/json"


def test_created_status_reads_back(client: FlaskClient) -> None:
    sent = {
        "type": "O",
        "description": "Packed",
        "email_subj": "is packed",
        "email_header": "<p>Packed!</p>\n",
        "params": {"notify": "Y", "color": "#97cf4d"},
    }

    created = client.post(STATUSES, data=dumps(sent), content_type="text/json")

    assert created.json == {"statuses_id": "12", "status_id": "12"}
    assert created.headers["Location"] == "/api/2.0/statuses/12"
    shown = read(client, f"{STATUSES}/12")
    own = {"status_id": "12", "status": "A", "is_default": "N", "lang_code": "en"}
    assert shown == sent | own
    assert list(shown["params"]) == ["notify", "color"]
    assert read(client, f"{STATUSES}/12?lang_code=ru") == shown | {"lang_code": "ru"}


def test_create_needs_a_description_alone(client: FlaskClient) -> None:
    shown = create(client)

    assert shown == {
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


def test_letters_run_out(client: FlaskClient) -> None:
    letters = [create(client)["status"] for _ in ORDER_LETTERS]

    assert "".join(letters) == ORDER_LETTERS
    refused = client.post(STATUSES, json={"description": "One too many"})
    assert refused.status_code == 400
    assert refused.json == {
        "message": "Bad Request: All letters of this type are taken; "
        "delete a status first.",
        "status": 400,
    }
    assert create(client, type="G")["status"] == "B"


def test_fields_that_the_service_sets_are_ignored(client: FlaskClient) -> None:
    shown = create(client, status="Z", status_id="77", colour="red")

    assert (shown["status_id"], shown["status"]) == ("12", "A")
    assert "colour" not in shown


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("description", ""),
        ("description", " \t\n "),
        ("description", "x" * 256),
        ("description", None),
        ("description", 5),
        ("description", ["Packed"]),
        ("email_subj", "x" * 256),
        ("email_subj", None),
        ("email_subj", "a\r\nBcc: b@c.example"),
        ("email_subj", "line\n"),
        ("email_subj", "\n"),
        ("email_subj", "a\u2028b"),
        ("email_subj", "a\x0bb"),
        ("email_header", "x" * 65536),
        ("email_header", {}),
        ("type", "X"),
        ("type", "OG"),
        ("type", ""),
        ("type", 1),
        ("is_default", "y"),
        ("is_default", ""),
        ("is_default", 1),
        ("is_default", None),
        ("lang_code", "de"),
        ("lang_code", ""),
        ("params", ["color"]),
        ("params", None),
        ("params", "color=#ffffff"),
    ],
)
def test_bad_value_is_refused_by_name(
    client: FlaskClient, field: str, value: Any
) -> None:
    assert list(problems(client, **{field: value})) == [field]

    updated = client.put(f"{STATUSES}/1", json={"description": "x", field: value})
    assert updated.status_code == (200 if field == "type" else 400)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("color", "red"),
        ("color", "#97cf4d\n"),
        ("notify", "yes"),
        ("inventory", "Y"),
        ("appearance_type", "X"),
        ("gift_cert_status", "AB"),
        ("note", ["nested"]),
        ("note", {"nested": "x"}),
        ("note", "x" * 256),
        ("", "x"),
        ("no spaces", "x"),
        ("цвет", "x"),
        ("x" * 65, "x"),
    ],
)
def test_bad_param_is_refused_by_name(
    client: FlaskClient, name: str, value: Any
) -> None:
    sent = {"params": {name: value, "repay": "Y"}}
    assert list(problems(client, **sent)) == [f"params.{name[:64]}"]

    assert client.put(f"{STATUSES}/1", json=sent).status_code == 400


def test_all_that_is_wrong_is_said_at_once(client: FlaskClient) -> None:
    refused = client.post(STATUSES, json={"email_subj": "a\nb", "type": "X"})

    assert refused.json == {
        "message": "Bad Request: type: Must be one of: O, G. "
        "description: Missing data for required field. "
        "email_subj: Must be a single line; take the line breaks out.",
        "status": 400,
        "errors": {
            "type": ["Must be one of: O, G."],
            "description": ["Missing data for required field."],
            "email_subj": ["Must be a single line; take the line breaks out."],
        },
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("description", "x" * 255),
        ("description", "Упакован 📦"),
        ("email_subj", "x" * 255),
        ("email_subj", ""),
        ("email_header", "я" * 65535),
        ("email_header", "  <p>\r\n\tas sent </p>\n"),
        ("params", {"x" * 64: "y" * 255, "my_addon.note-1": ""}),
        ("params", {f"p{number}": "x" for number in range(64)}),
    ],
)
def test_longest_and_strangest_values_are_kept(
    client: FlaskClient, field: str, value: Any
) -> None:
    assert create(client, **{field: value})[field] == value


def test_description_is_trimmed(client: FlaskClient) -> None:
    assert create(client, description="  Packed\n")["description"] == "Packed"


def test_scalars_in_params_become_strings(client: FlaskClient) -> None:
    sent = {"notify": True, "repay": False, "days": 5, "rate": 1.5, "left_out": None}

    shown = create(client, params=sent)

    assert shown["params"] == {"notify": "Y", "repay": "N", "days": "5", "rate": "1.5"}


@pytest.mark.parametrize(("sent", "kept"), [(True, "Y"), (False, "N"), ("Y", "Y")])
def test_is_default_takes_booleans(client: FlaskClient, sent: Any, kept: str) -> None:
    assert create(client, is_default=sent)["is_default"] == kept


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

    updated = client.put(f"{STATUSES}/2", json=change)

    assert (updated.status_code, updated.json) == (200, {"status_id": "2"})
    assert read(client, f"{STATUSES}/2") == before | change
    untouched = {k: russian[k] for k in ("description", "email_subj", "email_header")}
    assert read(client, f"{STATUSES}/2?lang_code=ru").items() >= untouched.items()


def test_update_merges_params(client: FlaskClient) -> None:
    before = read(client, f"{STATUSES}/2")["params"]
    form = "application/x-www-form-urlencoded"

    client.put(
        f"{STATUSES}/2", data="params[color]=%23000000&params[new]=1", content_type=form
    )

    after = read(client, f"{STATUSES}/2")["params"]
    assert after == before | {"color": "#000000", "new": "1"}
    assert list(after) == [*before, "new"]


def test_null_removes_a_param(client: FlaskClient) -> None:
    before = read(client, f"{STATUSES}/2")["params"]

    client.put(f"{STATUSES}/2", json={"params": {"color": None, "never_there": None}})

    assert read(client, f"{STATUSES}/2")["params"] == {
        name: value for name, value in before.items() if name != "color"
    }


def test_params_are_at_most_64_after_the_merge(client: FlaskClient) -> None:
    many = {f"p{number}": "x" for number in range(57)}
    before = read(client, f"{STATUSES}/2")
    assert client.put(f"{STATUSES}/2", json={"params": many}).status_code == 200

    refused = client.put(f"{STATUSES}/2", json={"params": {"one_more": "x"}})
    swapped = client.put(f"{STATUSES}/2", json={"params": {"p0": None, "new": "x"}})

    assert refused.status_code == 400
    assert swapped.status_code == 200
    assert len(read(client, f"{STATUSES}/2")["params"]) == len(before["params"]) + 57


@pytest.mark.parametrize(
    "fields",
    [{}, {"status": "Z"}, {"status_id": "9"}, {"type": "G"}, {"lang_code": "ru"}],
)
def test_update_needs_something_to_update(
    client: FlaskClient, fields: dict[str, str]
) -> None:
    before = read(client, f"{STATUSES}/2")

    refused = client.put(f"{STATUSES}/2", json=fields)

    assert refused.status_code == 400
    assert "Nothing to update" in refused.text
    assert read(client, f"{STATUSES}/2") == before


def test_update_names_what_it_cannot_update(client: FlaskClient) -> None:
    misplaced = {"color": "#ffffff", "status": "Z", "lang_code": "ru", "x" * 99: ""}

    refused = client.put(f"{STATUSES}/2", json=misplaced)

    assert refused.get_json()["errors"] == {
        "_schema": [
            "Nothing to update; send description, email_subj, email_header, "
            "is_default, position or params. 'color' cannot be updated; "
            "send params.color. "
            f"'status' cannot be updated. '{'x' * 64}' cannot be updated."
        ]
    }


@pytest.mark.parametrize("name", schemas.KNOWN_PARAMS)
def test_empty_value_removes_a_known_param(client: FlaskClient, name: str) -> None:
    value = {"color": "#000000", "inventory": "D", "appearance_type": "I"}.get(
        name, "Y"
    )
    address, other = f"{STATUSES}/12", {"note": ""}
    created = create(client, params={name: "", **other})
    for empty in ({"json": {"params": {name: ""}}}, {"data": f"params[{name}]="}):
        client.put(address, json={"params": {name: value}})
        assert read(client, address)["params"] == other | {name: value}

        assert client.put(address, **empty).status_code == 200
        assert read(client, address)["params"] == other

    assert created["params"] == other


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_each_wrong_param_is_named(client: FlaskClient, method: str) -> None:
    params = {"color": "red", "inventory": "D", "note": [], "a b": "", "c": "x" * 256}
    address = STATUSES if method == "POST" else f"{STATUSES}/2"

    refused = client.open(
        address, method=method, json={"description": "", "params": params}
    )

    assert refused.get_json()["errors"] == {
        "description": ["Length must be between 1 and 255."],
        "params.color": ["Must match #[0-9A-Fa-f]{6}."],
        "params.note": ["Must be a string, not an object or a list."],
        "params.a b": ["The name must be at most 64 of A-Z a-z 0-9 _ . and -."],
        "params.c": ["Must be at most 255 characters long."],
    }


def test_empty_params_are_an_update_of_nothing(client: FlaskClient) -> None:
    before = read(client, f"{STATUSES}/2")

    assert client.put(f"{STATUSES}/2", json={"params": {}}).status_code == 200
    assert read(client, f"{STATUSES}/2") == before


def test_refused_update_changes_nothing(client: FlaskClient) -> None:
    before = read(client, f"{STATUSES}/2")

    refused = client.put(
        f"{STATUSES}/2", json={"description": "Done", "params": {"color": "red"}}
    )

    assert refused.status_code == 400
    assert read(client, f"{STATUSES}/2") == before


def test_deleted_status_is_gone(client: FlaskClient) -> None:
    deleted = client.delete(f"{STATUSES}/3", content_type="application/json")
    again = client.delete(f"{STATUSES}/3")

    assert (deleted.status_code, deleted.data) == (204, b"")
    assert "Content-Type" not in deleted.headers
    assert again.status_code == 404
    assert client.get(f"{STATUSES}/3").status_code == 404


def test_default_status_is_not_deleted(client: FlaskClient) -> None:
    refused = client.delete(f"{STATUSES}/1")

    assert refused.status_code == 400
    assert client.get(f"{STATUSES}/1").status_code == 200


def test_status_that_is_no_default_any_more_is_deleted(client: FlaskClient) -> None:
    client.put(f"{STATUSES}/1", json={"is_default": "N"})

    assert client.delete(f"{STATUSES}/1").status_code == 204
