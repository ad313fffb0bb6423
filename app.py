"""The standalone service: the blueprint, with health probes and request ids.

This module is also loaded as ``app``, for ``flask --app app run``.
"""

import logging
import os
import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import click
from flask import Flask, Response, redirect, url_for
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException, ServiceUnavailable
from werkzeug.wrappers import Response as BaseResponse

from order_statuses import config, database, migrations
from order_statuses.api import add_extension, create_blueprint
from order_statuses.responses import ApiBlueprint, as_error, as_json

NAME = "order_statuses.app"  # flask --app app imports this module as app
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

probes = ApiBlueprint("probes", NAME)
logger = logging.getLogger(NAME)


def create_app(settings: Mapping[str, Any] | None = None) -> Flask:
    """Make the service, set up by *settings* or else by the environment.

    :raise SettingError: a setting is unknown or invalid
    """
    app = Flask(NAME, static_folder=None)
    app.wsgi_app = partial(serve, app.wsgi_app)  # type: ignore[method-assign]
    app.url_map.merge_slashes = False  # its redirect would have the Host header in it
    # Not from_mapping, which would drop a name that is misspelt in lower case.
    app.config.update(config.from_environment(os.environ))
    app.config.update(settings or {})
    extension = add_extension(app, config.SETTINGS | config.SERVICE_SETTINGS)
    extension.read_engine = database.connect(app, extension.settings)
    command = click.get_current_context(silent=True)
    is_flask_run = command is not None and command.info_name == "run"
    if is_flask_run and extension.settings["ORDER_STATUSES_LOCAL_ADMIN"]:
        from order_statuses import local_admin  # a server never imports it

        local_admin.install(app)
    app.register_error_handler(HTTPException, as_error)
    docs = extension.settings["ORDER_STATUSES_DOCS"]
    list_form = extension.settings["ORDER_STATUSES_LIST_FORM"]
    versioned = create_blueprint(list_form=list_form, docs=docs)
    app.register_blueprint(versioned, url_prefix="/api/2.0")
    unversioned = create_blueprint("order_statuses_unversioned", "envelope", docs)
    app.register_blueprint(unversioned, url_prefix="/api")
    app.register_blueprint(probes)
    if docs:
        app.add_url_rule("/", None, show_docs, provide_automatic_options=False)
    return app


def show_docs() -> BaseResponse:
    """Redirect / to the API page."""
    return redirect(url_for("order_statuses.docs.page"))


@probes.get("/livez")
def live() -> Response:
    """Respond while the process runs, even without the database.

    A restart of the service would not bring the database back.
    """
    return as_json({"status": "live"})


@probes.get("/readyz")
def ready() -> Response:
    """Respond if the database responds and has the tables of this version.

    :raise 503: it does not; the log says what to do
    """
    try:
        database.check_file()
        problem = migrations.find_problem(database.db.session.connection())
    except SQLAlchemyError as error:
        problem = database.problem_in(error)
    if problem:
        logger.error("Not ready: %s", problem)
        raise ServiceUnavailable("The service is not ready.", retry_after=5)
    return as_json({"status": "ready", "version": config.__version__})


@probes.after_request
def never_store(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


def serve(
    wsgi_app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    """Call *wsgi_app* with a request id, and with ``/api.php`` as ``/api``."""
    if environ.get("PATH_INFO") == "/api.php":
        environ.update(without_api_php(environ.get("QUERY_STRING", "")))
    sent = environ.get("HTTP_X_REQUEST_ID", "")
    request_id = sent if REQUEST_ID.fullmatch(sent) else os.urandom(8).hex()
    environ["order_statuses.request_id"] = request_id
    # For access logs. Quoted, since a decoded path may have line breaks.
    path = quote(environ.get("PATH_INFO", ""), encoding="latin-1")
    environ["order_statuses.path"] = path

    def respond(status: str, headers: Any, *error: Any) -> Any:
        return start_response(status, [*headers, ("X-Request-ID", request_id)], *error)

    return wsgi_app(environ, respond)


def without_api_php(query: str) -> dict[str, str]:
    """Return the path and the query that the *query* of ``/api.php`` contains.

    Shops without URL rewriting have the address ``/api.php?_d=statuses/1``. The first
    ``_d`` counts, or the first ``q``, which is an older name for it.

    >>> without_api_php("_d=statuses/1&lang_code=ru")
    {'PATH_INFO': '/api/statuses/1', 'QUERY_STRING': 'lang_code=ru'}
    """
    pairs = parse_qsl(query, keep_blank_values=True, encoding="latin-1")
    first = dict(reversed(pairs))
    address = first.get("_d", first.get("q", "")).removeprefix("/")
    kept = [(name, value) for name, value in pairs if name not in {"_d", "q"}]
    others = urlencode(kept, encoding="latin-1")
    return {"PATH_INFO": f"/api/{address}", "QUERY_STRING": others}
