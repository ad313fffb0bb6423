"""The standalone service: the blueprint's first user, and its local administrator."""

import json
import logging
import os
import re
import select
import socket
import struct
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode
from wsgiref.types import StartResponse, WSGIEnvironment

import click
from flask import Flask, Request, Response, redirect, request, url_for
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError, SQLAlchemyError
from werkzeug.exceptions import HTTPException, ServiceUnavailable
from werkzeug.serving import is_running_from_reloader
from werkzeug.wrappers import Response as BaseResponse

from . import auth, config, migrations
from .api import create_blueprint
from .database import READER, db, reason_of
from .responses import ApiBlueprint, as_error, as_json

POOLER = "order_statuses_pooler"
# One statement needs no BEGIN and no ROLLBACK, which are round trips.
OF_READER = {"isolation_level": "AUTOCOMMIT", "pool_reset_on_return": None}
# In a connection of our own alone, and not what the URL's options set; but writers must
# see what others have written.
SET_PARAMETERS = """
    SELECT set_config(name, ours.value, false)
    FROM pg_settings JOIN json_each_text(%s::json) AS ours (name, value) USING (name)
    WHERE pg_backend_pid() = %s
    AND (source <> 'client' OR name = 'default_transaction_isolation')
"""

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
LOOPBACK_HOST = re.compile(r"(localhost|127(\.\d+){3}|\[::1\])(:\d+)?", re.IGNORECASE)
# Credentials that are sent are always judged; the others are a proxy's.
REFUSED = re.compile("HTTP_(AUTHORIZATION|FORWARDED|VIA|X_REAL_IP|X_FORWARDED_.*)")
# Where Linux lists the TCP connections of this machine, and whose they are.
CONNECTIONS = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
MAPPED = "0000000000000000FFFF0000"  # an IPv4 address in the second table

NOT_WRITABLE = "DATABASE_URL must be a file in a folder that can be written"

probes = ApiBlueprint("probes", __name__)
logger = logging.getLogger(__name__)


def create_app(settings: Mapping[str, Any] | None = None) -> Flask:
    """Make the service, set up by the environment and, before it, by *settings*."""
    app = Service(__name__, static_folder=None)
    app.url_map.merge_slashes = False  # a redirect would name the Host that was sent
    # Not from_mapping, which would drop a name that is misspelt in lower case.
    app.config.update(config.from_environment(os.environ))
    app.config.update(settings or {})
    config.complete(app.config, config.SETTINGS | config.SERVICE_SETTINGS)
    connect(app)
    app.register_error_handler(HTTPException, as_error)
    docs = app.config["ORDER_STATUSES_DOCS"]
    list_form = app.config["ORDER_STATUSES_LIST_FORM"]
    versioned = create_blueprint(list_form=list_form, docs=docs)
    app.register_blueprint(versioned, url_prefix="/api/2.0")
    unversioned = create_blueprint("order_statuses_unversioned", "envelope", docs)
    app.register_blueprint(unversioned, url_prefix="/api")
    app.register_blueprint(probes)
    if docs:
        app.add_url_rule("/", None, show_docs, provide_automatic_options=False)
    command = click.get_current_context(silent=True)
    is_flask_run = command is not None and command.info_name == "run"
    if is_flask_run and app.config["ORDER_STATUSES_LOCAL_ADMIN"]:
        add_local_admin(app)
    return app


def show_docs() -> BaseResponse:
    """Lead who opens the service's address in a browser to the page."""
    return redirect(url_for("order_statuses.docs.page"))


def connect(app: Flask) -> None:
    """Give *app* its database; nothing is opened before the first request."""
    options = config.engine_options(app.config)
    app.config["SQLALCHEMY_DATABASE_URI"] = app.config["DATABASE_URL"]
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = options
    try:
        SQLAlchemy(app)
    except OSError as error:  # the instance folder cannot be made
        raise config.SettingError(f"{NOT_WRITABLE}: {error}.") from error
    with app.app_context():
        reader = create_engine(db.engine.url, **options, **OF_READER)
        app.extensions[READER] = reader
        if db.engine.name == "sqlite":
            check_writable(str(db.engine.url.database))
            event.listen(db.engine, "connect", set_pragmas)
        else:
            parameters = config.postgresql_parameters(app.config)
            set_parameters([db.engine, reader], parameters)


def check_writable(file: str) -> None:
    """Refuse an SQLite *file* in a folder where SQLite cannot write.

    :raise ValueError: it is in one
    """
    if file.startswith("file:"):  # a URL with options of SQLite's own
        return
    folder = os.path.dirname(file)
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        raise config.SettingError(f"{NOT_WRITABLE}, which {folder} cannot.")


def set_pragmas(connection: Any, _: Any) -> None:
    for pragma in config.SQLITE_PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def set_parameters(engines: Iterable[Engine], parameters: Mapping[str, str]) -> None:
    """Set the *parameters* of each connection, or of each session's transaction.

    Behind a pooler such as PgBouncer a connection is another client's after the
    transaction: nothing may stay on it, prepared statements neither.
    """
    local = [f"SET LOCAL {name} = '{value}'" for name, value in parameters.items()]
    # The first must come before any query.
    locally = "; ".join(["SET TRANSACTION ISOLATION LEVEL READ COMMITTED", *local])

    def set_in_connection(connection: Any, record: Any) -> None:
        arguments = [json.dumps(parameters), connection.info.backend_pid]
        is_pooled = connection.execute(SET_PARAMETERS, arguments).rowcount == 0
        connection.commit()
        record.info[POOLER] = is_pooled
        if is_pooled:
            connection.prepare_threshold = None

    def set_in_transaction(_session: Any, _: Any, connection: Connection) -> None:
        if connection.info[POOLER]:
            connection.exec_driver_sql(locally)

    for engine in engines:
        event.listen(engine, "connect", set_in_connection)
        event.listen(engine, "checkout", refuse_closed)
    event.listen(db.session, "after_begin", set_in_transaction)


def refuse_closed(connection: Any, *_: Any) -> None:
    """Have the pool replace a *connection* that the server closed meanwhile.

    An idle one has nothing to read but its end. pool_pre_ping would cost every request
    a round trip.
    """
    idle = select.poll()
    idle.register(connection, select.POLLIN)
    if idle.poll(0):
        raise DisconnectionError


@probes.get("/livez")
def live() -> Response:
    """Respond even if the database is away: a restart would not bring it back."""
    return as_json({"status": "live"})


@probes.get("/readyz")
def ready() -> Response:
    """Respond if the database does, and has all that this version needs.

    :raise 503: it does not; the log says what to do
    """
    try:
        problem = migrations.find_problem(db.session.connection())
    except SQLAlchemyError as error:
        problem = reason_of(error) or repr(error)
    if problem:
        logger.error("Not ready: %s", problem)
        raise ServiceUnavailable("The service is not ready.", retry_after=5)
    return as_json({"status": "ready", "version": config.__version__})


@probes.after_request
def never_store(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


class Service(Flask):
    """Flask that gives each request an id, and serves ``/api.php`` as ``/api``.

    Shops without URL rewriting have the address ``/api.php?_d=statuses/1``.
    """

    def wsgi_app(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        if environ.get("PATH_INFO") == "/api.php":
            environ.update(without_api_php(environ.get("QUERY_STRING", "")))
        sent = environ.get("HTTP_X_REQUEST_ID", "")
        request_id = sent if REQUEST_ID.fullmatch(sent) else os.urandom(8).hex()
        environ["order_statuses.request_id"] = request_id
        # For a log: quoted, since what is decoded may be several lines.
        path = quote(environ.get("PATH_INFO", ""), encoding="latin-1")
        environ["order_statuses.path"] = path

        def respond(status: str, headers: Any, *error: Any) -> Any:
            named = [*headers, ("X-Request-ID", request_id)]
            return start_response(status, named, *error)

        return super().wsgi_app(environ, respond)


def without_api_php(query: str) -> dict[str, str]:
    """Return the path and the query that *query* stands for.

    The first ``_d`` counts, or the first ``q``, which is an older name for it.

    >>> without_api_php("_d=statuses/1&lang_code=ru")
    {'PATH_INFO': '/api/statuses/1', 'QUERY_STRING': 'lang_code=ru'}
    """
    pairs = parse_qsl(query, keep_blank_values=True, encoding="latin-1")
    first = dict(reversed(pairs))
    address = first.get("_d", first.get("q", "")).removeprefix("/")
    kept = [(name, value) for name, value in pairs if name not in {"_d", "q"}]
    others = urlencode(kept, encoding="latin-1")
    return {"PATH_INFO": f"/api/{address}", "QUERY_STRING": others}


def add_local_admin(app: Flask) -> None:
    """Serve developers without credentials, from a database that is set up."""
    app.config["ORDER_STATUSES_IDENTIFY"] = identify_local_admin
    if not is_running_from_reloader():
        click.echo(
            "WARNING: requests from this machine need no credentials. "
            "Never put a proxy in front of flask run.",
            err=True,
        )
    with app.app_context():
        if db.engine.name == "sqlite":
            migrations.initialise()


def identify_local_admin() -> auth.Caller:
    """Return the local administrator, or else the API user."""
    if is_local_admin(request):
        return auth.Caller("local administrator")
    return auth.identify_user()


def is_local_admin(request: Request) -> bool:
    """Say whether *request* is from this machine, unproxied and without credentials."""
    environ = request.environ
    return (
        is_loopback(environ.get("REMOTE_ADDR", ""))
        and LOOPBACK_HOST.fullmatch(environ.get("HTTP_HOST", "")) is not None
        and environ.get("SERVER_PROTOCOL") == "HTTP/1.1"
        and not any(map(REFUSED.fullmatch, environ))
        and not auth.is_foreign(request)
        and is_own(environ.get("werkzeug.socket"))
    )


def is_loopback(address: str) -> bool:
    try:
        return parse_address(address).is_loopback
    except ValueError:  # a Unix socket has none
        return False


def parse_address(address: str) -> IPv4Address | IPv6Address:
    return ip_address(address.removeprefix("::ffff:"))  # of IPv4 in IPv6


def is_own(connection: socket.socket | None) -> bool:
    """Say whether the peer of *connection* belongs to the user that runs the service.

    A plain proxy_pass of nginx cannot be told from a local request by anything else.
    Systems that do not tell leave it to the other rules.
    """
    if sys.platform != "linux":
        return True
    if connection is None:
        return False
    for table in CONNECTIONS:
        with suppress(OSError), table.open() as rows:  # or the peer is gone
            user = owner(rows, connection.getpeername(), connection.getsockname())
            if user == os.geteuid():
                return True
    return False


def owner(
    rows: Iterable[str], peer: tuple[Any, ...], own: tuple[Any, ...]
) -> int | None:
    """Return the user of the socket that connects *peer* to *own*, if there is one.

    A socket that its process has closed has inode 0, and belongs to nobody.
    """
    ends = [in_table(peer), in_table(own)]
    for row in rows:
        fields = row.split()
        found = [end.removeprefix(MAPPED) for end in fields[1:3]]
        if found == ends and fields[9] != "0":
            return int(fields[7])
    return None


def in_table(address: tuple[Any, ...]) -> str:
    """Return the *address* of a socket as the rows have it.

    >>> in_table(("::ffff:127.0.0.1", 5000, 0, 0))
    '0100007F:1388'
    """
    host, port = address[:2]
    words = struct.iter_unpack("=I", parse_address(host).packed)
    return "".join(f"{word:08X}" for (word,) in words) + f":{port:04X}"
