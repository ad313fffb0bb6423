"""Every setting: its default, and what it may be.

A setting has one name. The standalone service reads it from the environment, a shop
sets it in ``app.config``.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, NamedTuple, cast

import click
from flask import Flask, current_app
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError

__version__ = "1.0.0"

# Variables that Kubernetes sets for a Service called order-statuses or similar.
OF_KUBERNETES = re.compile(r".+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_\w+)?)")
LANGUAGE = r"(?=.{2,32}$)[a-z]{2,3}([-_][A-Za-z0-9]{2,8})*"
# Browsers leave out a port that is the default one.
ORIGIN = r"(http(?!.*:80$)|https(?!.*:443$))://"
ORIGIN += r"([a-z0-9._-]+|\[[0-9a-f:.]+])(:[1-9]\d{,4})?"
# The types of OpenAPI's security schemes, and what each must hold.
SCHEMES = {
    "http": ["scheme"],
    "apiKey": ["name", "in"],
    "oauth2": ["flows"],
    "openIdConnect": ["openIdConnectUrl"],
    "mutualTLS": [],
}
TYPE = "[A-Z]"
DAY = 24 * 60 * 60
SWITCH = dict.fromkeys(("1", "true", "yes"), True)
SWITCH |= dict.fromkeys(("0", "false", "no"), False)


class SettingError(click.ClickException, ValueError):
    """An invalid setting: the process prints one line and exits with status 3."""

    exit_code = 3  # at another status of a worker, gunicorn starts a new one

    def show(self, file: Any = None) -> None:
        click.echo(self.message, file, err=True)


class Setting(NamedTuple):
    """A default, what a value must be (in words), and the parser that checks it."""

    default: Any
    meaning: str
    parse: Callable[[Any], Any]


def codes(default: str, pattern: str, kind: str) -> Setting:
    """Return a setting of distinct codes: a list, or a string with commas.

    >>> codes("O,G", "[A-Z]", "capital letters").parse("O, G")
    ('O', 'G')
    """

    def parse(value: Any) -> tuple[str, ...]:
        given = value.split(",") if isinstance(value, str) else value
        parsed = tuple(code.strip() for code in given)
        valid = all(re.fullmatch(pattern, code) for code in parsed)
        if not (parsed and valid and len(set(parsed)) == len(parsed)):
            raise ValueError
        return parsed

    return Setting(default, f"distinct {kind} such as {default}", parse)


def seconds(default: str, least: int) -> Setting:
    """Return a setting of a whole number of seconds, from *least* to a day."""

    def parse(value: Any) -> int:
        if not (str(value).isdecimal() and least <= int(value) <= DAY):
            raise ValueError
        return int(value)

    return Setting(default, f"seconds, from {least} to {DAY}", parse)


def switch(default: str) -> Setting:
    """Return a setting that is yes or no."""
    return Setting(default, "yes or no", lambda v: SWITCH[str(v).strip().lower()])


def one_of(*words: str) -> Setting:
    """Return a setting that is one of *words*; the first is the default."""
    return Setting(words[0], " or ".join(words), lambda v: words[words.index(v)])


def origins(value: Any) -> tuple[str, ...]:
    """Parse origins as browsers send them: a list, or a string with commas.

    >>> origins("https://admin.shop.example, http://localhost:3000")
    ('https://admin.shop.example', 'http://localhost:3000')
    """
    given = value.split(",") if value and isinstance(value, str) else value
    parsed = tuple(origin.strip() for origin in given)
    if not all(re.fullmatch(ORIGIN, origin) for origin in parsed):
        raise ValueError
    return parsed


def callable_or_none(value: Any) -> Any:
    if value is not None and not callable(value):
        raise ValueError
    return value


def security_scheme(value: Any) -> Any:
    """Parse an OpenAPI security scheme, which holds what one of its type must."""
    if value is None:
        return None
    if not all(isinstance(value[key], str | dict) for key in SCHEMES[value["type"]]):
        raise ValueError
    return json.loads(json.dumps(value))


def database_url(value: str) -> URL:
    """Parse a database's URL; the driver for PostgreSQL is psycopg 3.

    >>> str(database_url("postgres://db/statuses"))
    'postgresql+psycopg://db/statuses'
    """
    url = make_url(re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", value))
    file, mode = url.database or ":memory:", url.query.get("mode")
    # With SQLite in memory, each worker would have a database of its own.
    in_memory = url.drivername == "sqlite" and (":memory:" in file or mode == "memory")
    if in_memory or url.drivername not in {"sqlite", "postgresql+psycopg"}:
        raise ValueError
    return url


HOOK = Setting(None, "a callable in app.config", callable_or_none)
SETTINGS = {
    "ORDER_STATUSES_LANGUAGES": codes("en,ru", LANGUAGE, "language codes"),
    "ORDER_STATUSES_TYPES": codes("O,G", TYPE, "capital letters"),
    "ORDER_STATUSES_POSITION": switch("no"),
    "ORDER_STATUSES_REQUIRE_IF_MATCH": switch("no"),
    "ORDER_STATUSES_TRUSTED_ORIGINS": Setting(
        "", "origins such as https://admin.shop.example", origins
    ),
    "ORDER_STATUSES_IDENTIFY": HOOK,
    "ORDER_STATUSES_SECURITY_SCHEME": Setting(
        None, "an OpenAPI security scheme in app.config", security_scheme
    ),
    "ORDER_STATUSES_COUNT_ORDERS": HOOK,
}

# Only for the standalone service.
SERVICE_SETTINGS = {
    "DATABASE_URL": Setting(
        "sqlite:///order_statuses.db",
        "a postgresql:// URL, or sqlite:/// and a file",
        database_url,
    ),
    "ORDER_STATUSES_LIST_FORM": one_of("array", "envelope"),
    "ORDER_STATUSES_DOCS": switch("yes"),
    "ORDER_STATUSES_LOCAL_ADMIN": switch("no"),
    # libpq takes no less than 2.
    "ORDER_STATUSES_CONNECT_TIMEOUT": seconds("2", least=2),
    "ORDER_STATUSES_POOL_TIMEOUT": seconds("2", least=0),
    "ORDER_STATUSES_LOCK_TIMEOUT": seconds("15", least=1),
    "ORDER_STATUSES_STATEMENT_TIMEOUT": seconds("20", least=1),
}

# Read from the environment alone, and not kept: the key of another shop.
PULL_KEY = "ORDER_STATUSES_PULL_KEY"


@dataclass
class Extension:
    """What the API keeps for one application: ``app.extensions["order_statuses"]``."""

    cache: Any  # of responses, a caching.Cache
    settings: dict[str, Any]  # parsed at the mount, defaults included
    given: dict[str, Any]  # those of them that app.config had then, as it had them
    read_engine: Engine | None = None  # of the standalone service
    sqlite_file: Any = None  # there, a database.SqliteFile
    prefix: str = ""  # where the API was mounted first
    list_form: str = "array"  # there
    is_csrf_exempt: bool = False


def is_mounted() -> bool:
    """Return whether an application runs, and has mounted the API."""
    return bool(current_app) and "order_statuses" in current_app.extensions


def extension() -> Extension:
    """Return what the API keeps for the running application."""
    # Unwrapped: a use of the proxy costs three times the look-up.
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    return cast(Extension, app.extensions["order_statuses"])


def setting(name: str) -> Any:
    """Return a setting of the running application as it was at the mount.

    :raise RuntimeError: ``app.config`` has another value of some setting now
    """
    return check_unchanged().settings[name]


def check_unchanged() -> Extension:
    """Check that no setting has changed since the mount: the change would do nothing.

    Return what the API keeps for the running application.

    :raise RuntimeError: one has
    """
    # Unwrapped once: each use of a proxy costs a look-up.
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    extension: Extension = app.extensions["order_statuses"]
    if name := changed_since(extension, app.config):
        raise RuntimeError(
            f"{name} has changed in app.config since the API was mounted. "
            "Set it before the mount."
        )
    return extension


def changed_since(extension: Extension, app_config: Mapping[str, Any]) -> str | None:
    """Return the name of a setting that is not as it was at the mount, if one is."""
    # Values are compared by identity, then by equality; a missing one is a change.
    before, now = extension.given, given_in(app_config, extension.settings)
    if now == before:
        return None
    names = extension.settings
    return next(n for n in names if given_in(now, [n]) != given_in(before, [n]))


def given_in(app_config: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return the settings of these *names* that *app_config* has."""
    return {name: app_config[name] for name in names if name in app_config}


def languages() -> tuple[str, ...]:
    """Return the running application's languages, the default first."""
    return cast(tuple[str, ...], setting("ORDER_STATUSES_LANGUAGES"))


def types() -> tuple[str, ...]:
    """Return the running application's types of statuses, the default first."""
    return cast(tuple[str, ...], setting("ORDER_STATUSES_TYPES"))


def shows_position() -> bool:
    """Return whether the running application's statuses have their position."""
    return cast(bool, extension().settings["ORDER_STATUSES_POSITION"])


def from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the settings in *environ*, unparsed."""
    return {
        name: value
        for name, value in environ.items()
        if name != PULL_KEY and (name in SERVICE_SETTINGS or is_ours(name))
    }


def is_ours(name: str) -> bool:
    """Return whether *name* looks like a setting of the API, known or not."""
    return name.startswith("ORDER_STATUSES_") and not OF_KUBERNETES.fullmatch(name)


def parse_settings(
    app_config: Mapping[str, Any], known: Mapping[str, Setting]
) -> dict[str, Any]:
    """Return the *known* settings, parsed: from *app_config*, or else the defaults.

    :raise SettingError: names a setting that is unknown or has an invalid value
    """
    for name in app_config:
        if is_ours(name) and name not in known:
            raise SettingError(f"{name} is not a setting here; {hint(name, known)}")
    parsed = {}
    for name, setting in known.items():
        value = app_config.get(name, setting.default)
        try:
            parsed[name] = setting.parse(value)
        except (ValueError, LookupError, TypeError, AttributeError, ArgumentError):
            # The message leaves the value out: it may have a password in it.
            raise SettingError(f"{name} must be {setting.meaning}.") from None
    return parsed


def hint(name: str, settings: Mapping[str, Setting]) -> str:
    if name in SERVICE_SETTINGS:
        return "only the standalone service has it."
    if name == PULL_KEY:
        return "it is read from the environment alone."
    (nearest,) = get_close_matches(name, [*settings, PULL_KEY], n=1, cutoff=0)
    return f"is {nearest} meant?"
