"""Settings, and the starts that they stop."""

import doctest
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from order_statuses.api import create_blueprint
from order_statuses.app import create_app

IN_MEMORY = {"DATABASE_URL": "sqlite:///:memory:"}
ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "not-a-url"),
        ("DATABASE_URL", "mysql://shop:secret@localhost/statuses"),
        ("DATABASE_URL", ""),
        ("ORDER_STATUSES_LANGUAGES", ""),
        ("ORDER_STATUSES_LANGUAGES", "en,en"),
        ("ORDER_STATUSES_LANGUAGES", "english"),
        ("ORDER_STATUSES_LANGUAGES", "en,"),
        ("ORDER_STATUSES_TYPES", "o"),
        ("ORDER_STATUSES_TYPES", "OG"),
        ("ORDER_STATUSES_LIST_FORM", "list"),
        ("ORDER_STATUSES_LOCAL_ADMIN", "maybe"),
        ("ORDER_STATUSES_TYPES", 5),
        ("ORDER_STATUSES_LANGUAGES", "en-" + "x" * 8 + "-12345678" * 3),
        ("ORDER_STATUSES_LOCK_TIMEOUT", "3000000"),
        ("ORDER_STATUSES_LOCK_TIMEOUT", "1.7"),
        ("ORDER_STATUSES_LOCK_TIMEOUT", "1_0"),
        ("DATABASE_URL", "postgresql+psycopg2://localhost/statuses"),
        ("ORDER_STATUSES_CONNECT_TIMEOUT", "1"),
        ("ORDER_STATUSES_POOL_TIMEOUT", "-1"),
        ("ORDER_STATUSES_LOCK_TIMEOUT", "0"),
        ("ORDER_STATUSES_STATEMENT_TIMEOUT", "20s"),
    ],
)
def test_setting_that_makes_no_sense_stops_the_start(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be ") as stopped:
        create_app({**IN_MEMORY, name: value})

    assert "secret" not in str(stopped.value)


def test_settings_are_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://db.example/statuses")
    monkeypatch.setenv("ORDER_STATUSES_LANGUAGES", "de, pt-BR")
    monkeypatch.setenv("ORDER_STATUSES_LIST_FORM", "envelope")

    app = create_app()

    assert str(app.config["DATABASE_URL"]) == "postgresql+psycopg://db.example/statuses"
    assert app.config["ORDER_STATUSES_LANGUAGES"] == ("de", "pt-BR")
    assert app.config["ORDER_STATUSES_LIST_FORM"] == "envelope"


def test_blueprint_needs_a_list_form_that_exists() -> None:
    with pytest.raises(ValueError, match="list_form must be array or envelope"):
        create_blueprint(list_form="list")


@pytest.mark.parametrize("prefix", [None, "", "/"])
def test_blueprint_needs_a_prefix(prefix: str | None) -> None:
    app = create_app(IN_MEMORY)

    with pytest.raises(ValueError, match="url_prefix"):
        app.register_blueprint(create_blueprint("another"), url_prefix=prefix)


@pytest.mark.parametrize("file", sorted(ROOT.glob("[a-z]*.py")), ids=lambda f: f.stem)
def test_examples_in_docstrings_are_true(file: Path) -> None:
    if file.stem not in {"gunicorn.conf", "order_statuses", "setup", "wsgi"}:
        module = import_module(f"order_statuses.{file.stem}")
        assert doctest.testmod(module).failed == 0
