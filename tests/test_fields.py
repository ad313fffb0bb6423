"""The fields of a status: the values that they take, and what is said of others.

``params`` and ``position`` have files of their own.
"""

from itertools import product
from typing import Any

import pytest
from flask.testing import FlaskClient

from .statuses import STATUSES, create, problems

NAMES = ("description", "email_subj")  # which are in one line


@pytest.mark.one_database
@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("field", "value"),
    [
        *product(["description"], ["", " \t\n ", "\u200b", "\u200d \u2060", "\u00ad"]),
        *product(["description"], ["\ufeff", "\u2028", "x" * 256, ["Packed"]]),
        *product(["email_subj"], ["x" * 256, "a\r\nBcc: b@c.example", "line\n", "\n"]),
        *product(["email_subj"], ["a\u2028b", "a\x0bb"]),
        *product(["email_header"], ["x" * 65536, {}]),
        *product(NAMES, [f"a{c}b" for c in "\x01\t\x1b\x7f\x85\x9b"]),
        *product([*NAMES, "email_header"], [5, 1.1, -0]),
        *product(["is_default"], ["y", "", 1]),
        *product(["lang_code"], ["de", ""]),
        *product(["params"], [["color"], "color=#ffffff"]),
    ],
)
def test_bad_value_is_refused_by_name(
    client: FlaskClient, field: str, value: Any
) -> None:
    sent = {"description": "Packed", field: value}

    assert list(problems(client.post(STATUSES, json=sent))) == [field]
    assert list(problems(client.put(f"{STATUSES}/1", json=sent))) == [field]


@pytest.mark.one_database
@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("type_", ["X", "OG", "", 1, None])
def test_bad_type_is_refused(client: FlaskClient, type_: Any) -> None:
    refused = client.post(STATUSES, json={"description": "Packed", "type": type_})

    assert list(problems(refused)) == ["type"]


@pytest.mark.one_database
@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("names", "advice"),
    [
        (
            ["email_subj", "email_header"],
            'leave the field out to keep it, or send "" to empty it',
        ),
        (
            ["description", "is_default", "lang_code", "params", "type", "position"],
            "leave the field out to keep it.",
        ),
    ],
)
def test_null_is_refused_with_advice(
    client: FlaskClient, names: list[str], advice: str
) -> None:
    nulls = dict.fromkeys(names)
    wrong = problems(client.post(STATUSES, json={"description": "Packed"} | nulls))

    assert wrong.keys() == nulls.keys()
    assert all(advice in problem for (problem,) in wrong.values())
    others = problems(client.put(f"{STATUSES}/2", json=nulls))
    assert others == {name: wrong[name] for name in wrong if name != "type"}


@pytest.mark.one_database
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
        ("email_subj", "x" * 255),
        ("email_subj", ""),
        ("email_header", "я" * 65535),
        ("email_header", "  <p>\r\n\tas sent </p>\n"),
        *product(
            NAMES,
            [
                "Упакован 📦",
                "می\u200cشود",  # Persian, with a joiner
                "\U0001f469\u200d\U0001f680",  # an emoji of two
                "\U0001fae9",  # one that an older Python does not know
                "\u0378",  # not assigned
                "\ue000",  # for private use
            ],
        ),
    ],
)
def test_longest_and_strangest_values_are_kept(
    client: FlaskClient, field: str, value: str
) -> None:
    assert create(client, **{field: value})[field] == value


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("field", "sent", "kept"),
    [
        ("description", "  Packed\n", "Packed"),
        ("is_default", True, "Y"),
        ("is_default", False, "N"),
        ("is_default", "Y", "Y"),
    ],
)
def test_other_forms_of_a_value_are_understood(
    client: FlaskClient, field: str, sent: Any, kept: str
) -> None:
    assert create(client, **{field: sent})[field] == kept
