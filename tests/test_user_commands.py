"""The commands for API users and their keys."""

import json
from datetime import date
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from order_statuses.auth import key_hash
from order_statuses.database import db
from order_statuses.models import Key, User

from .commands import run
from .conftest import ADMINISTRATOR, BOUND, KEY, basic


def stores_seen(app: Flask, email: str, key: str) -> Any:
    headers = {"Authorization": basic(email, key)}
    return app.test_client().get("/api/2.0/stores", headers=headers).json


def test_add_user_prints_the_key_alone(app: Flask) -> None:
    added = run(app, "add-user", "New@shop.example")

    (key,) = added.stdout.splitlines()
    assert len(key) >= 22  # 128 bits in Base64
    assert len(stores_seen(app, "new@shop.example", key)) == 2


def test_user_may_be_bound_to_a_store(app: Flask) -> None:
    key = run(app, "add-user", "two@shop.example", "--store", "2").stdout.strip()

    assert stores_seen(app, "two@shop.example", key) == [
        {"company_id": "2", "company": "Second store"}
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ["new@shop.example", "--store", "99"],
        [BOUND, "--store", "2"],
        [ADMINISTRATOR, "--store", "1"],
        [BOUND, "--all-stores"],
        [BOUND, "--read-only"],
        [BOUND, "--store", "1", "--read-only"],
        ["new@shop.example", "--store", "2", "--all-stores"],
        ["no-address"],
        ["\udcff@shop.example"],
        ["a:b@shop.example"],
        ["a b@shop.example"],
        ["x" * 250 + "@shop.example"],
        ["İ" * 200 + "@shop.example"],  # which is longer in lower case
    ],
)
def test_invalid_user_is_refused(app: Flask, arguments: list[str]) -> None:
    refused = run(app, "add-user", *arguments)

    assert refused.exit_code != 0
    assert refused.stdout == ""
    with app.app_context():
        emails = list(db.session.scalars(select(User.email).order_by(User.email)))
    assert emails == [ADMINISTRATOR, BOUND]


def test_deactivated_user_needs_a_new_key(app: Flask) -> None:
    old = run(app, "add-user", BOUND).stdout.strip()
    deactivated = run(app, "deactivate-user", BOUND)
    refused = stores_seen(app, BOUND, old)

    new = run(app, "add-user", BOUND).stdout.strip()

    assert refused["status"] == 401
    assert stores_seen(app, BOUND, old)["status"] == 401
    assert stores_seen(app, BOUND, new)[0]["company_id"] == "1"
    assert "is deactivated" in deactivated.stderr


def test_unknown_user_is_not_deactivated(app: Flask) -> None:
    assert run(app, "deactivate-user", "nobody@shop.example").exit_code == 1


@pytest.mark.parametrize(
    ("email", "access", "seen"),
    [
        (ADMINISTRATOR, ["--store", "2"], ["2"]),
        (BOUND, ["--store", "2"], ["2"]),
        (BOUND, ["--all-stores"], ["1", "2"]),
    ],
)
def test_user_is_moved_to_other_stores(
    app: Flask, email: str, access: list[str], seen: list[str]
) -> None:
    moved = run(app, "move-user", email.upper(), *access)

    stores = stores_seen(app, email, KEY + email)
    assert (moved.exit_code, moved.stdout) == (0, "")
    assert [store["company_id"] for store in stores] == seen


def codes_of(app: Flask, email: str, key: str) -> list[int]:
    """Return how a GET and three writes end."""
    client, text = app.test_client(), {"email_subj": "x"}
    client.environ_base["HTTP_AUTHORIZATION"] = basic(email, key)
    return [
        client.get("/api/2.0/statuses").status_code,
        client.put("/api/2.0/statuses/2", json=text).status_code,
        client.put("/api/2.0/stores/1/statuses/2", json=text).status_code,
        client.delete("/api/2.0/statuses/999").status_code,
    ]


@pytest.mark.parametrize("options", [[], ["--store", "1"], ["--all-stores"]])
def test_user_may_be_read_only(app: Flask, options: list[str]) -> None:
    email = "reporter@shop.example"
    added = run(app, "add-user", email, "--read-only", *options)
    another = run(app, "add-user", email)
    again = run(app, "add-user", email, "--read-only")

    for made in (added, another, again):
        assert ", read-only. Key " in made.stderr
        assert codes_of(app, email, made.stdout.strip()) == [200, 403, 403, 403]
    headers = {"Authorization": basic(email, added.stdout.strip())}
    refused = app.test_client().post("/api/2.0/statuses", headers=headers)
    assert refused.get_json()["message"] == "Forbidden: You may only read."


def test_user_becomes_read_only_and_writes_again(app: Flask) -> None:
    key = KEY + ADMINISTRATOR
    refused = run(app, "add-user", ADMINISTRATOR, "--read-only")
    before = codes_of(app, ADMINISTRATOR, key)

    moved = run(app, "move-user", ADMINISTRATOR, "--read-only")
    between = codes_of(app, ADMINISTRATOR, key)
    run(app, "move-user", ADMINISTRATOR, "--read-write")

    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.endswith("has access to all stores; move-user changes it.\n")
    assert moved.stderr == f"{ADMINISTRATOR} has access to all stores, read-only.\n"
    assert before == codes_of(app, ADMINISTRATOR, key) == [200, 200, 200, 404]
    assert between == [200, 403, 403, 403]


def test_move_changes_only_what_it_names(app: Flask) -> None:
    (_, before) = json.loads(run(app, "users", "--json").stdout)
    run(app, "move-user", BOUND, "--read-only")
    run(app, "move-user", BOUND, "--store", "2")
    (_, moved) = json.loads(run(app, "users", "--json").stdout)
    run(app, "deactivate-user", BOUND)
    run(app, "move-user", BOUND, "--all-stores", "--read-write")
    (_, deactivated) = json.loads(run(app, "users", "--json").stdout)

    assert moved == before | {"store_id": 2, "read_only": True}
    assert deactivated == before | {"store_id": None, "is_active": False, "keys": []}


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ([BOUND], 2),
        ([BOUND, "--store", "2", "--all-stores"], 2),
        ([BOUND, "--store", "99"], 1),
        (["nobody@shop.example", "--read-only"], 1),
    ],
)
def test_move_that_cannot_be_changes_nothing(
    app: Flask, arguments: list[str], status: int
) -> None:
    before = run(app, "users").stdout

    assert run(app, "move-user", *arguments).exit_code == status
    assert run(app, "users").stdout == before


def test_users_are_listed_with_their_keys(app: Flask) -> None:
    added = run(app, "add-user", BOUND)
    key_id = key_hash(added.stdout.strip())[:8]
    run(app, "deactivate-user", ADMINISTRATOR)

    listed = run(app, "users").stdout.splitlines()
    (_, bound) = json.loads(run(app, "users", "--json").stdout)

    assert f"Key {key_id}:" in added.stderr
    assert listed[0] == f"{ADMINISTRATOR}  all stores  deactivated"
    assert listed[1].startswith(f"{BOUND}  store 1 alone  active  ")
    assert f"  {key_id} of {date.today()}" in listed[1]
    assert {"key_id": key_id, "created_on": str(date.today())} in bound.pop("keys")
    own = {"store_id": 1, "read_only": False, "is_active": True}
    assert bound == {"email": BOUND} | own
    run(app, "move-user", BOUND, "--read-only")
    assert f"{BOUND}  store 1 alone, read-only  active  " in run(app, "users").stdout


def test_one_key_is_revoked_and_the_others_stay(app: Flask) -> None:
    old, new = (run(app, "add-user", BOUND).stdout.strip() for _ in range(2))
    before = stores_seen(app, BOUND, old)

    revoked = run(app, "revoke-key", key_hash(old)[:8])

    assert (revoked.exit_code, len(before)) == (0, 1)
    assert stores_seen(app, BOUND, old)["status"] == 401
    assert stores_seen(app, BOUND, new) == before


@pytest.mark.parametrize("digits", [8, 9, 64])
def test_key_is_revoked_by_8_digits_or_more(app: Flask, digits: int) -> None:
    key = run(app, "add-user", BOUND).stdout.strip()
    key_id = key_hash(key)[:digits]

    revoked = run(app, "revoke-key", key_id)

    assert revoked.stderr == f"Key {key_id} of {BOUND} is revoked.\n"
    assert stores_seen(app, BOUND, key)["status"] == 401


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("", 2, "8 to 64 hexadecimal digits"),
        ("1a2b3c4", 2, "8 to 64 hexadecimal digits"),
        ("%%%%%%%%", 2, "8 to 64 hexadecimal digits"),
        ("0" * 65, 2, "8 to 64 hexadecimal digits"),
        ("1a2b3c4d", 1, "No key has the id 1a2b3c4d; the command users lists the ids."),
    ],
)
def test_key_that_is_not_there_is_not_revoked(
    app: Flask, name: str, status: int, message: str
) -> None:
    before = run(app, "users").stdout

    refused = run(app, "revoke-key", name)

    assert refused.exit_code == status
    assert message in refused.stderr
    assert run(app, "users").stdout == before


def test_ids_of_keys_are_as_long_as_tells_them_apart(app: Flask) -> None:
    with app.app_context():
        owner = db.session.scalar(select(User.user_id).filter_by(email=BOUND))
        for end in ("1", "2"):
            db.session.add(Key(key_hash=f"{end:0>10}".ljust(64, "f"), user_id=owner))
        db.session.commit()

    listed = run(app, "users").stdout
    refused = run(app, "revoke-key", "00000000")
    revoked = run(app, "revoke-key", "0000000001")

    for key_id in ("0000000001", "0000000002"):
        assert f"  {key_id} of " in listed
        assert f"  {key_id}  {BOUND}\n" in refused.stderr
    assert (refused.exit_code, revoked.exit_code) == (1, 0)
    assert "00000000 of " in run(app, "users").stdout
