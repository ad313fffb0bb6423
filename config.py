"""Every setting: its default, and what it may be.

A setting has one name. The standalone service reads it from the environment, a host
sets it in ``app.config``.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

from flask import current_app
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

__version__ = "0.1.0"

PREFIX = "ORDER_STATUSES_"
# What Kubernetes makes for a Service called order-statuses, or order-statuses-db.
OF_KUBERNETES = re.compile(r".+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_\w+)?)")
LANGUAGE = r"(?=.{2,32}$)[a-z]{2,3}([-_][A-Za-z0-9]{2,8})*"
DAY = 24 * 60 * 60
SWITCHES = {
    "1": True,
    "true": True,
    "yes": True,
    "0": False,
    "false": False,
    "no": False,
}


class SettingError(ValueError):
    """A setting that stops the start."""


def codes(pattern: str) -> Callable[[Any], tuple[str, ...]]:
    """Return a parser of distinct codes: a list, or a string with commas.

    >>> codes("[A-Z]")("O, G")
    ('O', 'G')
    """

    def parse(value: Any) -> tuple[str, ...]:
        given = value.split(",") if isinstance(value, str) else value
        parsed = tuple(code.strip() for code in given)
        valid = all(re.fullmatch(pattern, code) for code in parsed)
        if not (parsed and valid and len(set(parsed)) == len(parsed)):
            raise ValueError
        return parsed

    return parse


def switch(value: Any) -> bool:
    """Parse a word for on or off; booleans pass."""
    return value if isinstance(value, bool) else SWITCHES[str(value).strip().lower()]


def one_of(*words: str) -> Callable[[Any], str]:
    """Return a parser that takes one of *words*."""
    return lambda value: words[words.index(value)]


def hook(value: Any) -> Any:
    """Take a callable, or None for none."""
    if value is not None and not callable(value):
        raise ValueError
    return value


def database_url(value: str) -> URL:
    """Parse a database's URL; PostgreSQL is spoken to by psycopg 3.

    >>> str(database_url("postgres://db/statuses"))
    'postgresql+psycopg://db/statuses'
    """
    url = make_url(re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", value))
    if url.drivername not in {"sqlite", "postgresql+psycopg"} or is_in_memory(url):
        raise ValueError
    return url


def is_in_memory(url: URL) -> bool:
    """Say whether *url* would give each worker an SQLite database of its own."""
    return url.drivername == "sqlite" and (
        ":memory:" in (url.database or ":memory:") or url.query.get("mode") == "memory"
    )


def seconds(least: int) -> Callable[[Any], int]:
    """Return a parser of a whole number of seconds, from *least* to a day."""

    def parse(value: Any) -> int:
        if not (str(value).isdecimal() and least <= int(value) <= DAY):
            raise ValueError
        return int(value)

    return parse


class Setting(NamedTuple):
    """A default, what a value must be (in words), and the parser that checks it."""

    default: Any
    meaning: str
    parse: Callable[[Any], Any]


SETTINGS = {
    "ORDER_STATUSES_LANGUAGES": Setting(
        "en,ru", "distinct language codes such as en,ru", codes(LANGUAGE)
    ),
    "ORDER_STATUSES_TYPES": Setting(
        "O,G", "distinct capital letters such as O,G", codes("[A-Z]")
    ),
    "ORDER_STATUSES_REQUIRE_IF_MATCH": Setting("no", "yes or no", switch),
    "ORDER_STATUSES_IDENTIFY": Setting(None, "a callable in app.config", hook),
    "ORDER_STATUSES_IN_USE": Setting(None, "a callable in app.config", hook),
}

# Of the standalone service alone.
SERVICE_SETTINGS = {
    "DATABASE_URL": Setting(
        "sqlite:///order_statuses.db",
        "a postgresql:// URL, or sqlite:/// and a file",
        database_url,
    ),
    "ORDER_STATUSES_LIST_FORM": Setting(
        "array", "array or envelope", one_of("array", "envelope")
    ),
    "ORDER_STATUSES_DOCS": Setting("yes", "yes or no", switch),
    "ORDER_STATUSES_LOCAL_ADMIN": Setting("no", "yes or no", switch),
    "ORDER_STATUSES_CONNECT_TIMEOUT": Setting(
        "2",
        "seconds, from 2 to 86400",
        seconds(2),  # what libpq takes for the least
    ),
    "ORDER_STATUSES_POOL_TIMEOUT": Setting("2", "seconds, at most 86400", seconds(0)),
    "ORDER_STATUSES_LOCK_TIMEOUT": Setting(
        "15", "seconds, from 1 to 86400", seconds(1)
    ),
    "ORDER_STATUSES_STATEMENT_TIMEOUT": Setting(
        "20", "seconds, from 1 to 86400", seconds(1)
    ),
}

SQLITE_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")


def engine_options(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return how SQLAlchemy connects to the database of *settings*.

    Nothing waits for ever, writers wait for each other, and a write that got a 2xx
    survives a crash.
    """
    url: URL = settings["DATABASE_URL"]
    options = ENGINE_OPTIONS[url.get_backend_name()](settings)
    # Texts and e-mail addresses are none of the log's business.
    options["hide_parameters"] = True
    options["pool_timeout"] = settings["ORDER_STATUSES_POOL_TIMEOUT"]
    return options


def sqlite_options(settings: Mapping[str, Any]) -> dict[str, Any]:
    timeout = settings["ORDER_STATUSES_LOCK_TIMEOUT"]
    return {
        "connect_args": {"timeout": timeout, "isolation_level": "IMMEDIATE"},
        "paramstyle": "named",  # as the driver of PostgreSQL
    }


def postgresql_options(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "connect_args": {
            "connect_timeout": settings["ORDER_STATUSES_CONNECT_TIMEOUT"],
            "keepalives_idle": 30,  # routers forget connections that are silent
            "client_encoding": "utf8",  # whatever the role or the database sets
        }
    }


def postgresql_parameters(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the parameters of PostgreSQL that a transaction of the service has."""
    return {
        "synchronous_commit": "on",
        "lock_timeout": f"{settings['ORDER_STATUSES_LOCK_TIMEOUT']}s",
        "statement_timeout": f"{settings['ORDER_STATUSES_STATEMENT_TIMEOUT']}s",
        # Longer than gunicorn lets a request take.
        "idle_in_transaction_session_timeout": "60s",
        # Writers that have waited for the lock see what the others have written.
        "default_transaction_isolation": "read committed",
    }


ENGINE_OPTIONS = {"sqlite": sqlite_options, "postgresql": postgresql_options}


def languages() -> tuple[str, ...]:
    """Return the running application's languages, the default first."""
    configured: tuple[str, ...] = current_app.config["ORDER_STATUSES_LANGUAGES"]
    return configured


def types() -> tuple[str, ...]:
    """Return the running application's types of statuses, the default first."""
    configured: tuple[str, ...] = current_app.config["ORDER_STATUSES_TYPES"]
    return configured


def from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that *environ* has, as they were written."""
    known = SETTINGS | SERVICE_SETTINGS
    check_names(environ, known)
    return {name: environ[name] for name in known if name in environ}


def check_names(names: Iterable[str], known: Iterable[str]) -> None:
    """Refuse names that look like settings of ours and are not *known*.

    :raise ValueError: with the nearest known name
    """
    for name in names:
        ours = name.startswith(PREFIX) and not OF_KUBERNETES.fullmatch(name)
        if ours and name not in known:
            (nearest,) = get_close_matches(name, known, n=1, cutoff=0)
            hint = f"is {nearest} meant?"
            if name in SERVICE_SETTINGS:
                hint = "it is one of the standalone service."
            raise SettingError(f"{name} is no setting here; {hint}")


def complete(app_config: dict[str, Any], settings: Mapping[str, Setting]) -> None:
    """Give *app_config* the *settings* it lacks, and parse each value in place.

    :raise ValueError: naming the setting, for an invalid value
    """
    for name, setting in settings.items():
        value = app_config.get(name, setting.default)
        try:
            app_config[name] = setting.parse(value)
        except (ValueError, LookupError, TypeError, AttributeError, ArgumentError):
            # Without the value, which may hold a password.
            raise SettingError(f"{name} must be {setting.meaning}.") from None
