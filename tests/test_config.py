"""Settings, and the starts that they stop."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from order_statuses.api import create_blueprint
from order_statuses.app import create_app
from order_statuses.config import SettingError

from .conftest import settings_of
from .contract import NEVER_OPENED
from .servers import ROOT

NOBODY = 65534


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "not-a-url"),
        ("DATABASE_URL", "mysql://shop:secret@localhost/statuses"),
        ("DATABASE_URL", ""),
        ("DATABASE_URL", "sqlite+aiosqlite:///statuses.db"),
        # Each worker would have a database of its own.
        ("DATABASE_URL", "sqlite://"),
        ("DATABASE_URL", "sqlite:///"),
        ("DATABASE_URL", "sqlite:///:memory:"),
        ("DATABASE_URL", "sqlite:///file::memory:?uri=true"),
        ("DATABASE_URL", "sqlite:///file:statuses?mode=memory&uri=true"),
        ("ORDER_STATUSES_LANGUAGES", ""),
        ("ORDER_STATUSES_LANGUAGES", "en,en"),
        ("ORDER_STATUSES_LANGUAGES", "english"),
        ("ORDER_STATUSES_LANGUAGES", "en,"),
        ("ORDER_STATUSES_TYPES", "o"),
        ("ORDER_STATUSES_TYPES", "OG"),
        ("ORDER_STATUSES_LIST_FORM", "list"),
        ("ORDER_STATUSES_LOCAL_ADMIN", "maybe"),
        ("ORDER_STATUSES_TYPES", 5),
        *(
            ("ORDER_STATUSES_TRUSTED_ORIGINS", origin)
            for origin in (
                "*",
                "null",
                "admin.shop.example",
                "https://admin.shop.example/",
                "https://admin.shop.example,",
                "https://Admin.shop.example",
                "https://*.shop.example",
                "https://me@shop.example",
                "https://admin.shop.example:443",
                "http://admin.shop.example:80",
                "http://admin.shop.example:",
                ["https://admin.shop.example,https://shop.example"],
                [None],
                None,
            )
        ),
        *(
            ("ORDER_STATUSES_SECURITY_SCHEME", scheme)
            for scheme in (
                "bearer",
                '{"type": "http", "scheme": "bearer"}',
                {},
                {"type": "bearer"},
                {"type": "http"},
                {"type": "http", "scheme": None},
                {"type": "apiKey", "name": "X-Api-Key"},
                {"type": "oauth2"},
                {"type": "http", "scheme": "bearer", "x-check": print},
            )
        ),
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
def test_invalid_setting_stops_the_start(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be ") as stopped:
        create_app({**NEVER_OPENED, name: value})

    assert "secret" not in str(stopped.value)


def test_settings_are_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://db.example/statuses")
    monkeypatch.setenv("ORDER_STATUSES_LANGUAGES", "de, pt-BR")
    monkeypatch.setenv("ORDER_STATUSES_LIST_FORM", "envelope")
    monkeypatch.setenv(
        "ORDER_STATUSES_TRUSTED_ORIGINS", "http://[::1]:8080, https://shop.example:80"
    )

    app = create_app()

    settings = app.extensions["order_statuses"].settings
    assert str(settings["DATABASE_URL"]) == "postgresql+psycopg://db.example/statuses"
    assert settings["ORDER_STATUSES_LANGUAGES"] == ("de", "pt-BR")
    assert settings["ORDER_STATUSES_LIST_FORM"] == "envelope"
    assert settings["ORDER_STATUSES_TRUSTED_ORIGINS"] == (
        "http://[::1]:8080",
        "https://shop.example:80",
    )
    assert app.config["ORDER_STATUSES_LANGUAGES"] == "de, pt-BR"
    assert "ORDER_STATUSES_TYPES" not in app.config


@pytest.mark.parametrize("origins", ["", [], ()])
def test_no_origin_is_trusted_unless_it_is_named(origins: Any) -> None:
    named = create_app({**NEVER_OPENED, "ORDER_STATUSES_TRUSTED_ORIGINS": origins})

    for app in (named, create_app(NEVER_OPENED)):
        assert settings_of(app)["ORDER_STATUSES_TRUSTED_ORIGINS"] == ()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ORDER_STATUSES_LANGAUGES", "ORDER_STATUSES_LANGUAGES"),
        ("ORDER_STATUSES_LOCKTIMEOUT", "ORDER_STATUSES_LOCK_TIMEOUT"),
        ("ORDER_STATUSES_docs", "ORDER_STATUSES_DOCS"),
    ],
)
def test_unknown_setting_stops_the_start(
    name: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = f"^{name} is not a setting here; is {meant} meant\\?$"
    with pytest.raises(SettingError, match=message):
        create_app({**NEVER_OPENED, name: "x"})

    monkeypatch.setenv(name, "x")
    with pytest.raises(SettingError, match=message):
        create_app(NEVER_OPENED)


def test_variables_of_kubernetes_are_not_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for service in ("ORDER_STATUSES", "ORDER_STATUSES_DB"):
        for name in (
            "SERVICE_HOST",
            "SERVICE_PORT",
            "SERVICE_PORT_HTTP",
            "PORT",
            "PORT_80_TCP",
            "PORT_80_TCP_PROTO",
            "PORT_80_TCP_PORT",
            "PORT_80_TCP_ADDR",
        ):
            monkeypatch.setenv(f"{service}_{name}", "x")

    assert create_app(NEVER_OPENED)


@pytest.fixture
def closed_folder() -> Iterator[Path]:
    """A folder that the tests can read and not write, whoever runs them."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o555)
        user = os.geteuid()
        if user == 0:  # for whom a folder is never closed
            os.seteuid(NOBODY)
        yield folder
        os.seteuid(user)


@pytest.mark.parametrize("database", ["order_statuses.db", "missing/statuses.db"])
def test_sqlite_needs_a_folder_that_can_be_written(
    database: str, closed_folder: Path
) -> None:
    file = closed_folder / database
    message = f"^DATABASE_URL must be a file .*, which {file.parent} cannot.$"

    with pytest.raises(SettingError, match=message):
        create_app({"DATABASE_URL": f"sqlite:///{file}"})


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "gunicorn --bind=127.0.0.1:0 --workers=2 wsgi:app",
        "flask run --debug --port=0",
        "flask order-statuses users",
    ],
)
def test_wrong_setting_ends_the_process_with_one_line(command: str) -> None:
    ended = start(command, ORDER_STATUSES_TYPES="x")

    said = [line for line in ended.stderr.splitlines() if not line.startswith("[")]
    assert ended.returncode == 3
    assert said == [
        "ORDER_STATUSES_TYPES must be distinct capital letters such as O,G."
    ]


@pytest.mark.slow
def test_wrong_setting_is_no_reason_for_the_reloader_to_start_again() -> None:
    ended = start("wsgi", ORDER_STATUSES_TYPES="x", WERKZEUG_RUN_MAIN="true")

    assert ended.returncode == 1
    assert "ORDER_STATUSES_TYPES must be" in ended.stderr


def start(module: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run a *module* with its arguments until it ends."""
    return subprocess.run(
        [sys.executable, "-m", *module.split()],
        cwd=ROOT,
        env=os.environ | NEVER_OPENED | settings,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_blueprint_needs_a_list_form_that_exists() -> None:
    with pytest.raises(ValueError, match="list_form must be array or envelope"):
        create_blueprint(list_form="list")


@pytest.mark.parametrize("prefix", [None, "", "/", "/<store_id>", "/<int:status_id>"])
def test_blueprint_needs_a_prefix_of_its_own(prefix: str | None) -> None:
    app = create_app(NEVER_OPENED)

    with pytest.raises(ValueError, match="url_prefix"):
        app.register_blueprint(create_blueprint("another"), url_prefix=prefix)
