"""What the commands for operators have in common."""

from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import make_url

from order_statuses.config import __version__

from .commands import run
from .conftest import service


def test_version_is_printed(app: Flask) -> None:
    assert run(app, "--version").stdout == f"{__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["add-store", "7", "\udcff"],
        ["move-user", "\udcff@shop.example", "--all-stores"],
        ["deactivate-user", "\udcff@shop.example"],
    ],
)
def test_argument_that_is_not_utf_8_is_refused(
    app: Flask, arguments: list[str]
) -> None:
    refused = run(app, *arguments)

    assert refused.exit_code == 1
    assert refused.stderr == "Error: Nothing was changed. An argument is not UTF-8.\n"


def named(url: str) -> str:
    return make_url(url).render_as_string(hide_password=True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["add-user", "new@shop.example"],
        ["users"],
        ["export"],
        ["revoke-key", "1a2b3c4d"],
        ["remove-store", "1", "--yes"],
        ["add-store", "3", "Third"],
    ],
)
def test_commands_say_which_database_is_not_set_up(
    empty_database: str, arguments: list[str]
) -> None:
    with service(empty_database) as app:
        refused = run(app, *arguments)
        again = run(app, *arguments)

    assert refused.exit_code == 1
    assert "Error: Nothing was changed. The database is not set up" in refused.stderr
    assert "flask order-statuses init" in refused.stderr
    assert f"The database is {named(empty_database)}.\n" in refused.stderr
    assert again.stderr == refused.stderr
    assert not Path(empty_database.removeprefix("sqlite:///")).exists()


def test_init_and_add_user_name_the_database(empty_database: str) -> None:
    with service(empty_database) as app:
        made = run(app, "init")
        added = run(app, "add-user", "new@shop.example")

    assert made.stderr == f"The database is set up: {named(empty_database)}.\n"
    assert added.stderr.startswith(f"Database: {named(empty_database)}\n")
