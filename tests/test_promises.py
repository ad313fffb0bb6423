"""What docs/deployment.md promises within 1.x ("What is promised").

These tables are 1.0. A later version may add to them; what changes or removes an entry
is a new major version.
"""

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import fields
from inspect import Parameter, signature
from pathlib import Path

import click
import pytest
import yaml
from flask import Flask, request
from flask.testing import FlaskClient

import order_statuses
from order_statuses import config, openapi
from order_statuses.cli import commands
from order_statuses.reading import OrderStatus

from .commands import run
from .conftest import ADMINISTRATOR, KEY_ID
from .servers import ROOT

pytestmark = pytest.mark.one_database


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


# The names that a shop imports, and how those that are called may be called.
CALLS = {
    "create_blueprint": "(name='order_statuses', list_form='array', docs=False)",
    "exempt_from_csrf": "(app, csrf)",
    "Caller": "(name, store_id=None, read_only=False)",
    "identify_user": "()",
    "list_statuses": "(type_, lang_code=None, store_id=None)",
    "find_status": "(letter, type_='O', lang_code=None, store_id=None)",
    "create_status": "(fields, *, caller)",
    "update_status": "(status_id, fields, *, lang_code=None, store_id=None, caller)",
    "delete_status": "(status_id, *, caller)",
    "replace_stores": "(names, *, allow_empty=False)",
    "seed_statuses": "(create_tables=False)",
}
NAMES = {"Base", "Status", "status_created", "status_updated", "status_deleted"}
STATUS = "status_id status type is_default position description email_subj email_header"
STATUS += " lang_code params"


def how_to_call(name: str) -> str:
    called = signature(getattr(order_statuses, name))
    plain = [p.replace(annotation=Parameter.empty) for p in called.parameters.values()]
    return str(called.replace(parameters=plain, return_annotation=Parameter.empty))


def test_shop_imports_and_calls() -> None:
    assert set(order_statuses.__all__) == CALLS.keys() | NAMES
    assert {name: how_to_call(name) for name in CALLS} == CALLS


def test_shop_reads_these_fields() -> None:
    assert [field.name for field in fields(OrderStatus)] == STATUS.split()


# What responses have, by the schemas of openapi.yaml, which all responses obey.
RESPONSES = {
    "OrderStatus": STATUS,
    "StatusesEnvelope": "statuses params",
    "Storefront": "company_id company",
    "StoresEnvelope": "stores params",
    "Paging": "items_per_page page total_items",
    "Created": "statuses_id status_id",
    "Updated": "status_id",
    "Error": "message status",
}


def test_responses_have_these_fields() -> None:
    schemas = yaml.safe_load(openapi.FILE.read_text("utf-8"))["components"]["schemas"]

    assert {name: " ".join(schemas[name]["required"]) for name in RESPONSES} == (
        RESPONSES
    )


# Each setting and its default.
IN_A_SHOP = {
    "ORDER_STATUSES_IDENTIFY": None,
    "ORDER_STATUSES_SECURITY_SCHEME": None,
    "ORDER_STATUSES_COUNT_ORDERS": None,
}
OF_THE_SERVICE = {
    "DATABASE_URL": "sqlite:///order_statuses.db",
    "ORDER_STATUSES_LANGUAGES": "en,ru",
    "ORDER_STATUSES_TYPES": "O,G",
    "ORDER_STATUSES_POSITION": "no",
    "ORDER_STATUSES_REQUIRE_IF_MATCH": "no",
    "ORDER_STATUSES_TRUSTED_ORIGINS": "",
    "ORDER_STATUSES_LIST_FORM": "array",
    "ORDER_STATUSES_DOCS": "yes",
    "ORDER_STATUSES_LOCAL_ADMIN": "no",
    "ORDER_STATUSES_CONNECT_TIMEOUT": "2",
    "ORDER_STATUSES_POOL_TIMEOUT": "2",
    "ORDER_STATUSES_LOCK_TIMEOUT": "15",
    "ORDER_STATUSES_STATEMENT_TIMEOUT": "20",
}
# The number of cores is no number here.
OF_GUNICORN = {"WEB_CONCURRENCY": "", "WEB_THREADS": "1", "PORT": "8000"}


def test_settings_and_their_defaults() -> None:
    known = config.SETTINGS | config.SERVICE_SETTINGS
    of_gunicorn = re.findall(
        r"read_number\(['\"](\w+)['\"], (\d*)",
        (ROOT / "gunicorn.conf.py").read_text("utf-8"),
    )

    assert {name: setting.default for name, setting in known.items()} == (
        OF_THE_SERVICE | IN_A_SHOP
    )
    assert config.PULL_KEY == "ORDER_STATUSES_PULL_KEY"
    assert dict(of_gunicorn) == OF_GUNICORN


def test_page_has_the_settings_and_their_defaults() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.*?) \|", page("deployment.md"), re.M)
    in_words = {"ORDER_STATUSES_TRUSTED_ORIGINS", "WEB_CONCURRENCY", config.PULL_KEY}

    assert dict(rows).keys() == (
        OF_THE_SERVICE.keys() | OF_GUNICORN.keys() | {config.PULL_KEY}
    )
    for name, default in rows:
        if name not in in_words:
            assert default == f"`{(OF_THE_SERVICE | OF_GUNICORN)[name]}`"
    for name in IN_A_SHOP:
        assert name in page("embedding.md")


# Arguments as their help has them, and options.
COMMANDS = {
    "init": "[FILE]",
    "seed": "--create-tables --force",
    "add-user": "EMAIL --store --all-stores --read-only",
    "move-user": "EMAIL --store --all-stores --read-only --read-write",
    "users": "--json",
    "revoke-key": "KEY_ID",
    "deactivate-user": "EMAIL",
    "add-store": "ID NAME",
    "remove-store": "ID --yes",
    "export": "[FILE] --users",
    "apply": "FILE --dry-run --prune --users",
    "pull": "URL --user --languages --types --output --insecure",
    "openapi": "",
}


def usage(command: click.Command) -> Iterator[str]:
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            yield parameter.make_metavar(click.Context(command))
        else:
            yield from parameter.opts + parameter.secondary_opts


def test_commands_and_their_options() -> None:
    found = {name: " ".join(usage(c)) for name, c in commands.commands.items()}

    assert found == COMMANDS
    assert list(usage(commands)) == ["--version"]


# test_config has status 3, an invalid setting; test_start has it under gunicorn.
EXIT_STATUSES = [
    (0, "users"),
    (0, "apply same.json --dry-run"),
    (1, "revoke-key 1a2b3c4d"),
    (1, "apply wrong.json"),
    (1, "remove-store 2"),
    (2, "apply missing.json"),
    (2, "users --nothing"),
    (4, "apply other.json --dry-run"),
    (0, "apply fewer.json --dry-run"),
    (4, "apply fewer.json --dry-run --prune"),
]


@pytest.mark.parametrize(("status", "command"), EXIT_STATUSES)
def test_exit_statuses(
    app: Flask,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    command: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    same = run(app, "export").stdout
    Path("same.json").write_text(same, encoding="utf-8")
    Path("other.json").write_text(same.replace("#97cf4d", "#000000"), encoding="utf-8")
    fewer = json.loads(same)
    fewer["stores"].pop()
    Path("fewer.json").write_text(json.dumps(fewer))
    Path("wrong.json").write_text("[]")

    assert run(app, *command.split()).exit_code == status


# In the line of a request; test_request_id_and_log has those in the line of a write.
LOG_FIELDS = [
    "%(h)s",
    "%(t)s",
    "%({order_statuses.caller}e)s",
    "%({order_statuses.key}e)s",
    '"%(r)s"',
    "%(s)s",
    "%(M)s ms",
    "%({x-request-id}o)s",
]


def test_line_of_a_request_has_its_fields(client: FlaskClient) -> None:
    settings = (ROOT / "gunicorn.conf.py").read_text("utf-8")
    with client:
        client.get("/api/2.0/statuses")
        caller, key, path = (
            request.environ[f"order_statuses.{name}"]
            for name in ("caller", "key", "path")
        )

    assert [field for field in LOG_FIELDS if field not in settings] == []
    assert (caller, key, path) == (ADMINISTRATOR, KEY_ID, "/api/2.0/statuses")


# What an upgrade may do to the tables.
ADDING = {"create_table", "add_column", "create_index", "batch_alter_table", "f"}


def test_migrations_only_add() -> None:
    for file in (ROOT / "migrations" / "versions").glob("*.py"):
        (upgrade,) = (
            node
            for node in ast.parse(file.read_text("utf-8")).body
            if isinstance(node, ast.FunctionDef) and node.name == "upgrade"
        )
        done = re.findall(r"\b(?:batch_)?op\.(\w+)\(", ast.unparse(upgrade))
        assert set(done) <= ADDING


def test_page_names_tests_that_are_there() -> None:
    _, _, rest = page("development.md").partition("\n## What is held by which test\n")
    named = re.findall(r"`(test_\w+)(?:::(test_\w+))?`", rest.partition("\n## ")[0])

    assert named
    for file, test in named:
        assert f"def {test}" in (ROOT / "tests" / f"{file}.py").read_text("utf-8")
