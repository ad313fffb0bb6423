"""What a file of statuses may not have: apply and init name it, and change nothing."""

import json
from pathlib import Path

import pytest
from flask import Flask

from .commands import NEW, Json, apply, change_tag, export, of, run
from .conftest import service


def test_every_problem_is_named_with_its_place(app: Flask, file: Json) -> None:
    before, text = change_tag(app), export(app)
    statuses = file["statuses"]
    statuses[0]["texts"]["ru"]["description"] = " "
    statuses[1]["texts"]["de"] = {"description": "x"}
    statuses[2]["store_texts"] = {"1": {"en": {"email_subj": "a\nb"}}, "9": {}}
    statuses[3]["params"] = {"color": "red"}
    statuses[7]["params"] = "color"
    statuses[4] |= {"status": "N", "status_id": "5", "text": {}}
    statuses[5]["status_id"] = statuses[6]["status_id"]
    statuses.append(dict(statuses[7]))
    file["stores"][0]["name"] = ""
    user = {"email": "a@shop.example", "is_active": True, "keys": {}}
    file["users"] = [user, {**user, "store_id": 9}]

    refused = apply(app, file)

    assert refused.exit_code == 1
    for place in (
        "statuses[0].texts.ru.description: ",
        "statuses[1].texts.de: Must be one of: en, ru.",
        "statuses[2].store_texts.1.en.email_subj: Must be a single line",
        "statuses[2].store_texts.9: No such store",
        "statuses[3].params",
        "statuses[7].params: Must be an object.\n",
        "statuses[4].status: ",
        "statuses[4].status_id: ",
        "statuses[4].text: Unknown field.",
        "statuses[6].status_id: statuses[5] has the same status_id.",
        "statuses[11].status: statuses[7] has the same type and status.",
        "stores[0].name: ",
        "users[1].email: users[0] has the same email.",
        "users[1].store_id: No such store in stores.",
    ):
        assert place in refused.stderr
    assert (change_tag(app), export(app)) == (before, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON: Expecting value at line 1, column 1"),
        ("{", "not valid JSON"),
        ("[]", "Send a JSON object, such as what export writes."),
        ("{}", "stores: Missing data for required field."),
        ('{"stores": [], "stores": []}', "has a key twice"),
        (b"\xff", "The file is not UTF-8"),
        ('{"stores": [], "statuses": ["\\u0000"]}', "The file has a NUL character"),
        ('{"stores": [], "statuses": [], "\\u001e": 1}', r"'\x1e': Unknown field."),
        ('{"stores": {}, "statuses": [5], "x": 1}', "statuses[0]: Invalid input type."),
        ('{"stores": 5, "statuses": null, "users": [[]]}', "stores: Not a valid list."),
    ],
)
def test_broken_file_is_refused(app: Flask, text: str | bytes, message: str) -> None:
    before = change_tag(app)
    for options in ([], ["--prune", "--dry-run"]):
        refused = apply(app, text, *options)

        assert refused.exit_code == 1
        assert refused.stdout == ""
        assert message in refused.stderr
    assert change_tag(app) == before


def test_init_refuses_a_broken_file(empty_database: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("{}")
    with service(empty_database) as app:
        refused = run(app, "init", str(tmp_path / "file"))

        assert refused.exit_code == 1
        assert "statuses: Missing data" in refused.stderr
        assert run(app, "export").exit_code == 1  # there are no tables


def test_new_status_needs_a_description(app: Flask, file: Json) -> None:
    text = export(app)
    file["statuses"].append(NEW | {"texts": {"en": {"email_subj": "x"}}})

    refused = apply(app, file)

    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "statuses[11].texts: A new status has no description." in refused.stderr
    assert export(app) == text


def test_params_are_at_most_64_in_all(app: Flask, file: Json) -> None:
    text = export(app)
    of(file, "P")["params"] = {f"p{n}": "" for n in range(60)}

    assert "].params: More than 64." in apply(app, file).stderr
    assert export(app) == text
    assert apply(app, file, "--prune").exit_code == 0


def test_dry_run_refuses_the_users_that_add_user_refuses(
    app: Flask, file: Json
) -> None:
    emails = ["a@shop.example", "\x1b@shop.example", "İ" * 200 + "@shop.example"]
    key = {"a" * 64: None}
    file["users"] = [{"email": e, "is_active": True, "keys": key} for e in emails]

    refused = apply(app, file, "--users", "--dry-run")

    assert refused.exit_code == 1
    for problem in (
        "users[1].email: Not an e-mail address.",
        "users[2].email: Not an e-mail address.",
        f"users[1].keys.{'a' * 64}: users[0] has the same key.",
    ):
        assert problem in refused.stderr


def test_file_is_read_as_bodies_are(app: Flask, file: Json) -> None:
    """With a byte order mark, numbers in all their digits, and empty arrays of PHP."""
    of(file, "P")["params"]["fee"] = "FEE"
    of(file, "B").update(params=[], texts={"en": []}, store_texts=[])
    of(file, "D")["store_texts"] = {"1": []}
    text = json.dumps(file).replace('"FEE"', "12345678901234567890.10")
    before = json.loads(export(app))

    assert apply(app, f"\ufeff{text}").exit_code == 0
    of(before, "P")["params"]["fee"] = "12345678901234567890.10"
    assert json.loads(export(app)) == before
