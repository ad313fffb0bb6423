"""``params``: their names and values, and how an update merges and removes them."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from order_statuses import schemas

from .statuses import STATUSES, assert_error, create, problems, read

COMPLETE = f"{STATUSES}/2"
NOT_A_STRING = "Must be a string, not an object or a list."
WRONG_NAME = "The name must be at most 64 of A-Z a-z 0-9 _ . and -."


def params(client: FlaskClient, address: str = COMPLETE) -> dict[str, str]:
    shown: dict[str, str] = read(client, address)["params"]
    return shown


@pytest.mark.one_database
@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("color", "red", "Must match #[0-9A-Fa-f]{6}."),
        ("color", "#97cf4d\n", "Must match #[0-9A-Fa-f]{6}."),
        ("notify", "yes", "Must match [YN]."),
        ("inventory", "Y", "Must match [DI]."),
        ("appearance_type", "X", "Must match [DICO]."),
        ("gift_cert_status", "AB", "Must match [A-Z0-9]."),
        ("note", ["nested"], NOT_A_STRING),
        ("note", {"nested": "x"}, NOT_A_STRING),
        ("note", "x" * 256, "Must be at most 255 characters long."),
        *[(name, "x", WRONG_NAME) for name in ("", "no spaces", "цвет", "x" * 65)],
    ],
)
def test_bad_param_is_refused_by_name_beside_what_else_is_wrong(
    client: FlaskClient, name: str, value: Any, problem: str
) -> None:
    sent = {"description": "", "params": {"a b": "", name: value, "repay": "Y"}}
    for refused in (client.post(STATUSES, json=sent), client.put(COMPLETE, json=sent)):
        assert problems(refused) == {
            "description": ["Length must be between 1 and 255."],
            "params.a b": [WRONG_NAME],
            f"params.{name[:64]}": [problem],
        }


@pytest.mark.parametrize(
    "kept",
    [
        {"x" * 64: "y" * 255, "my_addon.note-1": ""},
        {f"p{number}": "x" for number in range(64)},
        {"__class__": "a", "__proto__": "b", "constructor": "c"},  # only names
    ],
)
def test_longest_and_strangest_params_are_kept(
    client: FlaskClient, kept: dict[str, str]
) -> None:
    assert create(client, params=kept, __class__={"color": "red"})["params"] == kept


@pytest.mark.one_database
def test_scalars_become_strings(client: FlaskClient) -> None:
    sent = {"notify": True, "repay": False, "left_out": None}

    assert create(client, params=sent)["params"] == {"notify": "Y", "repay": "N"}


@pytest.mark.parametrize(
    "literal",
    [
        *("0", "-0", "5", "5.0", "1.10", "1E5", "0.0000001", "1e-9999999999999999999"),
        "12345678901234567890.12",
        "9" * 255,
    ],
)
def test_number_keeps_its_digits(client: FlaskClient, literal: str) -> None:
    body = b'{"params": {"n": %s}}' % literal.encode()
    client.put(COMPLETE, data=body, content_type="application/json")

    assert params(client)["n"] == literal


def test_update_merges(client: FlaskClient) -> None:
    before = params(client)

    client.put(COMPLETE, json={"params": {"new": "1", "color": "#000000"}})

    assert list(params(client).items()) == [
        *(before | {"color": "#000000", "new": "1"}).items()
    ]


def test_null_removes_a_param(client: FlaskClient) -> None:
    before = params(client)

    client.put(COMPLETE, json={"params": {"color": None, "never_there": None}})

    assert params(client) == {n: p for n, p in before.items() if n != "color"}


@pytest.mark.one_database
@pytest.mark.parametrize("name", schemas.KNOWN_PARAMS)
def test_empty_value_removes_a_known_param(client: FlaskClient, name: str) -> None:
    values = {"color": "#000000", "inventory": "D", "appearance_type": "I"}
    address, other = f"{STATUSES}/12", {"note": ""}
    created = create(client, params={name: "", **other})
    for empty in ({"json": {"params": {name: ""}}}, {"data": f"params[{name}]="}):
        value = values.get(name, "Y")
        client.put(address, json={"params": {name: value}})
        assert params(client, address) == other | {name: value}

        assert client.put(address, **empty).status_code == 200
        assert params(client, address) == other

    assert created["params"] == other


@pytest.mark.parametrize("empty", [{}, []])  # as PHP writes it
def test_empty_params_are_an_update_of_nothing(client: FlaskClient, empty: Any) -> None:
    before = read(client, COMPLETE)
    created = create(client, params=empty)

    assert client.put(COMPLETE, json={"params": empty}).status_code == 200
    assert read(client, COMPLETE) == before
    assert created["params"] == {}


@pytest.mark.one_database
def test_params_are_at_most_64_after_the_merge(client: FlaskClient) -> None:
    many = {f"p{number}": "x" for number in range(64 - len(params(client)))}
    assert client.put(COMPLETE, json={"params": many}).status_code == 200

    assert_error(client.put(COMPLETE, json={"params": {"one_more": "x"}}), 400)
    swapped = client.put(COMPLETE, json={"params": {"p0": None, "new": "x"}})

    assert swapped.status_code == 200
    assert len(params(client)) == 64
