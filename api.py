"""The blueprint: the resources, and around them the guard, error handlers, fallback."""

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from itertools import product, takewhile
from typing import Any, NoReturn, cast

from flask import Flask, Request, Response, current_app, g, request
from flask.blueprints import BlueprintSetupState
from flask.globals import request_ctx
from marshmallow import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import (
    BadRequest,
    HTTPException,
    MethodNotAllowed,
    NotFound,
    ServiceUnavailable,
    default_exceptions,
)
from werkzeug.http import HTTP_STATUS_CODES
from werkzeug.routing import PathConverter

from . import auth, cli, config, database, openapi, statuses, stores
from .caching import Cache
from .responses import (
    ApiBlueprint,
    as_error,
    as_json,
    error_body,
    from_validation,
    no_content,
)

METHODS = "GET HEAD POST PUT DELETE PATCH TRACE CONNECT OPTIONS".split()
FALLBACK = "fallback"

logger = logging.getLogger(__name__)


class AnyPath(PathConverter):
    """Any path below the prefix, also with line breaks, unlike Werkzeug's ``path``."""

    NAME = "order_statuses_any_path"
    regex = "[^/](?s:.*?)"
    part_isolating = False


def create_blueprint(
    name: str = "order_statuses", list_form: str = "array", docs: bool = False
) -> ApiBlueprint:
    """Return a new blueprint of the whole API, to be mounted below a prefix.

    It may be mounted more than once, under different names. *list_form* is ``array``
    or ``envelope``; *docs* serves the OpenAPI document, and its page, to everyone.
    """
    if list_form not in {"array", "envelope"}:
        raise ValueError(f"list_form must be array or envelope, not {list_form!r}.")
    bp = ApiBlueprint(name, __name__)
    bp.list_form = list_form
    bp.record(prepare)
    bp.before_request(guard)
    bp.after_request(roll_back_refused)
    # By code as well: Flask prefers a shop's handler of 404 to one of HTTPException.
    for code in default_exceptions:
        bp.register_error_handler(code, as_error)
    bp.register_error_handler(HTTPException, as_error)
    bp.register_error_handler(ValidationError, from_validation)
    bp.register_error_handler(SQLAlchemyError, unavailable)
    bp.register_error_handler(UnicodeDecodeError, not_utf8)
    bp.register_error_handler(Exception, leave_to_flask)
    bp.register_blueprint(statuses.bp)
    bp.register_blueprint(stores.bp)
    if docs:
        openapi.require("yaml", "flask_swagger_ui")
        bp.register_blueprint(openapi.bp)
    for rule in ("/", f"/<{AnyPath.NAME}:{AnyPath.NAME}>"):
        bp.add_url_rule(rule, FALLBACK, fallback, methods=METHODS)
    return bp


def exempt_from_csrf(app: Flask, csrf: Any) -> None:
    """Let the API's callers write without the tokens of Flask-WTF's CSRFProtect.

    ``csrf.exempt(bp)`` does not apply to nested blueprints, so each is exempted here.
    Requests that a browser was tricked into are refused all the same.
    """
    mounted = [bp for bp in app.iter_blueprints() if isinstance(bp, ApiBlueprint)]
    if not mounted:
        raise ValueError("Call exempt_from_csrf after the API is mounted.")
    for bp in mounted:
        csrf.exempt(bp)
    app.extensions["order_statuses"].is_csrf_exempt = True


def prepare(state: BlueprintSetupState) -> None:
    """Give the application that mounts the blueprint its settings and commands.

    :raise ValueError: what the API needs of the application is missing or misspelt
    """
    if not (state.url_prefix or "").strip("/"):
        raise ValueError("The API needs a url_prefix such as /api/2.0.")
    if own := re.search(r"<([^>]*:)?(store_id|status_id)>", state.url_prefix or ""):
        raise ValueError(f"Rename {own[2]} in the url_prefix: the API uses that name.")
    app = cast(Flask, state.app)
    if "order_statuses" not in app.extensions:  # create_app adds it before the mounts
        add_extension(app, config.SETTINGS)
    check_database(app)
    extension: config.Extension = app.extensions["order_statuses"]
    if name := config.changed_since(extension, app.config):
        raise ValueError(
            f"{name} has changed since the first mount: set it before that."
        )
    if extension.is_csrf_exempt:
        raise ValueError("Mount the API before exempt_from_csrf is called.")
    app.url_map.converters[AnyPath.NAME] = AnyPath
    list_form = cast(ApiBlueprint, state.blueprint).list_form
    if not extension.prefix:
        extension.prefix, extension.list_form = str(state.url_prefix), list_form
    app.cli.add_command(cli.commands)


def add_extension(app: Flask, known: Mapping[str, config.Setting]) -> config.Extension:
    """Parse the *known* settings of *app*, and keep them with what else the API keeps.

    :raise SettingError: naming the setting, for an unknown one or an invalid value
    """
    settings = config.parse_settings(app.config, known)
    given = config.given_in(app.config, settings)
    extension = config.Extension(Cache(), settings, given)
    app.extensions["order_statuses"] = extension
    return extension


def check_database(app: Flask) -> None:
    """Refuse an application that has no database for the API.

    Where the shop chooses a database by itself, requests and commands check which.

    :raise ValueError: its SQLAlchemy extension, or its default database, is missing,
        or the API cannot use that database
    """
    with app.app_context():
        try:
            _ = database.db.engine
        except LookupError as error:
            raise ValueError(
                "The API's tables are in the default database of Flask-SQLAlchemy (or "
                "Flask-SQLAlchemy-Lite): call db.init_app(app) before the mount, and "
                "set SQLALCHEMY_DATABASE_URI even beside SQLALCHEMY_BINDS."
            ) from error
        if not database.has_own_binds():
            database.check_dialect()


def guard() -> Response | None:
    """Refuse unknown callers, and known ones what they may not do.

    Unknown addresses give 404 or 405 even to callers who may not write. The docs are
    public.
    """
    # Unwrapped once: each use of a proxy costs a look-up.
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    current: Request = request._get_current_object()  # type: ignore[attr-defined]
    if is_public(app, current):
        return None
    if allowed := preflight(app, current):
        return allowed
    g.order_statuses_tags = set()  # a shop's requests may share g
    identify = config.setting("ORDER_STATUSES_IDENTIFY")
    try:
        found = app.ensure_sync(identify)() if identify else auth.identify_user()
    except Exception as error:
        return handled_by_shop(app, error)
    auth.authorize(current, found, is_resource=not is_fallback(current.endpoint))
    return None


def handled_by_shop(app: Flask, error: Exception) -> Response:
    """Return the response of the shop's own handler to what its login raised.

    :raise error: there is no such handler
    """
    handler = handler_of_shop(app, error)
    if handler is None:
        raise error
    return with_json(app.make_response(app.ensure_sync(handler)(error)), error)


def handler_of_shop(app: Flask, error: Exception) -> Callable[[Any], Any] | None:
    """Return the shop's handler of what its login raised, in the order of Flask.

    What *identify_user* raised is handled here. So is what the shop handles as any
    Exception: that is a mistake of the login. A redirect needs no handler.
    """
    code = error.code if isinstance(error, HTTPException) else None
    is_redirect = isinstance(error, HTTPException) and code is None
    if is_redirect or auth.OURS in vars(error):
        return None
    around = [
        name
        for name in request.blueprints
        if not isinstance(app.blueprints[name], ApiBlueprint)
    ]
    classes = takewhile(lambda cls: cls is not Exception, type(error).__mro__)
    places = product(dict.fromkeys((code, None)), (*around, None), classes)
    for key, name, cls in places:
        if handler := app.error_handler_spec[name][key].get(cls):
            return handler
    return None


def with_json(response: Response, error: Exception) -> Response:
    """Give the shop's *response* to *error* a body of ours, unless it has JSON."""
    if not response.is_json:
        why = "The shop's login refused this request."
        if isinstance(error, HTTPException) and error.code == response.status_code:
            why = error.description or why
        phrase = HTTP_STATUS_CODES.get(response.status_code, "Unknown")
        response.data = as_json(error_body(phrase, why, response.status_code)).data
        response.content_type = "application/json"
    return response


def is_public(app: Flask, request: Request) -> bool:
    """Return whether *request* reads the document or its page, which hold no data."""
    bp = app.blueprints[request.blueprint or ""]
    return bp is openapi.bp and request.method in {"GET", "HEAD"}


def is_fallback(endpoint: str | None) -> bool:
    return endpoint is not None and endpoint.endswith(f".{FALLBACK}")


def fallback(**_: str) -> Response:
    """Respond to OPTIONS, and with 404 or 405, where no view matches.

    It only looks up which methods have a view. A shop's own views, which have guards of
    their own, are never called.
    """
    allowed = list(endpoints())
    if not allowed:
        raise NotFound("There is nothing at this address.")
    if request.method == "OPTIONS":
        return options(allowed)
    allowed = list(dict.fromkeys([*allowed, "OPTIONS"]))
    raise MethodNotAllowed(allowed, f"Use one of {', '.join(allowed)}.")


def options(methods: Iterable[str]) -> Response:
    """Return the 204 of OPTIONS at an address that has *methods*."""
    return no_content({"Allow": ", ".join(dict.fromkeys([*methods, "OPTIONS"]))})


def preflight(app: Flask, request: Request) -> Response | None:
    """Return what a browser needs that asks if another origin's page may call the API.

    It sends no credentials. So a shop's own addresses and methods are not shown.
    """
    asked = {"HTTP_ORIGIN", "HTTP_ACCESS_CONTROL_REQUEST_METHOD"}
    if request.method != "OPTIONS" or not asked <= request.environ.keys():
        return None
    ours = [m for m, endpoint in endpoints().items() if is_ours(app, endpoint)]
    return options(ours) if ours else None


def is_ours(app: Flask, endpoint: str) -> bool:
    """Return whether a blueprint of the API has *endpoint*."""
    return isinstance(app.blueprints.get(endpoint.rpartition(".")[0]), ApiBlueprint)


def endpoints() -> dict[str, str]:
    """Return the methods of this address, but for a fallback's, and their endpoints."""
    found = {}
    for method in METHODS:
        with suppress(HTTPException):
            endpoint, _ = request_ctx.url_adapter.match(method=method)  # type: ignore[union-attr]
            found[method] = endpoint
    return {m: endpoint for m, endpoint in found.items() if not is_fallback(endpoint)}


def roll_back_refused(response: Response) -> Response:
    """Roll back after a refused write, of which a shop might commit a part later."""
    if response.status_code >= 400 and request.method not in auth.SAFE_METHODS:
        database.db.session.rollback()
    return response


def unavailable(error: SQLAlchemyError) -> Response:
    """Return a 503 if the database is unavailable or was never set up."""
    database.db.session.rollback()
    if database.is_never_set_up(error):
        return as_error(database.not_initialised())
    if not database.is_outage(error):
        raise error
    logger.error("The database failed: %s", database.reason_of(error))
    away = "The database cannot do this now; try again."
    return as_error(ServiceUnavailable(away, retry_after=5))


def not_utf8(error: UnicodeDecodeError) -> Response:
    """Return a 400 for a query that Werkzeug cannot decode."""
    if error.object != request.query_string:
        raise error
    return as_error(BadRequest("The query is not UTF-8; encode it as UTF-8."))


def leave_to_flask(error: Exception) -> NoReturn:
    """Raise *error* again: Flask logs it, and responds with the 500 of this blueprint.

    Without this, a shop's own handler of Exception would respond in HTML.
    """
    raise error
