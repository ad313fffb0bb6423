"""The blueprint: the resources, and the guard and the errors around them."""

import logging
from contextlib import suppress
from typing import Any, cast

from flask import Flask, Response, g, request
from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue
from marshmallow import ValidationError
from sqlalchemy.exc import (
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
    TimeoutError,
)
from werkzeug.exceptions import (
    BadRequest,
    HTTPException,
    MethodNotAllowed,
    NotFound,
    ServiceUnavailable,
    default_exceptions,
)
from werkzeug.routing import PathConverter

from order_statuses import (
    answers,
    auth,
    cli,
    config,
    errors,
    models,
    openapi,
    statuses,
    stores,
)
from order_statuses.memory import Memory

METHODS = "GET HEAD POST PUT DELETE OPTIONS PATCH TRACE CONNECT".split()

# Of a database that is away, overloaded, read-only or not set up.
FAILURES = (
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
    TimeoutError,
)

logger = logging.getLogger(__name__)


class Anything(PathConverter):
    """Whatever follows the prefix; to Werkzeug's own converter, all but line breaks."""

    NAME = "order_statuses_anything"
    regex = "[^/](?s:.*?)"
    part_isolating = False


def create_blueprint(
    name: str = "order_statuses", list_form: str = "array", docs: bool = False
) -> answers.Resource:
    """Return a new blueprint of the whole API, to be mounted below a prefix.

    It may be mounted more than once, under different names. *list_form* is ``array``
    or ``envelope``; *docs* serves the OpenAPI document to everyone.
    """
    if list_form not in {"array", "envelope"}:
        raise ValueError(f"list_form must be array or envelope, not {list_form!r}.")
    bp = answers.Resource(name, __name__)
    bp.list_form = list_form

    @bp.before_request
    def admit() -> Response | None:
        if openapi.is_docs_request():
            return None
        g.order_statuses_list_form = list_form
        g.order_statuses_tokens = set()
        auth.admit()
        request.environ[answers.ADMITTED] = True  # not g, which requests may share
        return answers.recall()

    bp.record(prepare)
    bp.after_request(answers.finish)
    # By code as well: a host's handler of 404 goes before one of every HTTPException.
    for code in default_exceptions:
        bp.register_error_handler(code, errors.as_json)
    bp.register_error_handler(HTTPException, errors.as_json)
    bp.register_error_handler(ValidationError, errors.from_validation)
    for failure in FAILURES:
        bp.register_error_handler(failure, unavailable)
    bp.register_error_handler(UnicodeDecodeError, not_utf8)
    bp.register_blueprint(statuses.bp)
    bp.register_blueprint(stores.bp)
    if docs:
        bp.register_blueprint(openapi.create_docs_blueprint(list_form))
    bp.add_url_rule("/", view_func=elsewhere, methods=METHODS)
    bp.add_url_rule(f"/<{Anything.NAME}:address>", view_func=elsewhere, methods=METHODS)
    return bp


def exempt_from_csrf(app: Flask, csrf: Any) -> None:
    """Let the API's callers write without the tokens of Flask-WTF's CSRFProtect.

    Its own ``exempt`` does not reach nested blueprints. Requests that a browser was
    tricked into are refused all the same.
    """
    for bp in app.iter_blueprints():
        if isinstance(bp, answers.Resource):
            csrf.exempt(bp)


def prepare(state: BlueprintSetupState) -> None:
    """Give the application that mounts the blueprint its settings and commands."""
    if not (state.url_prefix or "").strip("/"):
        raise ValueError("The API needs a url_prefix: what is below it is its own.")
    state.app.url_map.converters[Anything.NAME] = Anything
    config.complete(state.app.config, config.SETTINGS)
    state.app.extensions.setdefault("order_statuses_memory", Memory())
    bp = cast(answers.Resource, state.blueprint)
    mount = (state.url_prefix, bp.list_form)
    state.app.extensions.setdefault("order_statuses_mount", mount)
    state.app.cli.add_command(cli.commands)


def elsewhere(address: str = "") -> ResponseReturnValue:
    """Answer for what no resource does: OPTIONS, other methods, other addresses.

    :raise 403: the caller has no access to the store in the address
    :raise 404: there is nothing at this address, or no such status or store
    :raise 405: with the methods that there are
    """
    allowed = [method for method in METHODS if answers.view_of(method)]
    if not allowed:
        raise NotFound("There is nothing at this address.")
    if view := answers.view_of("GET"):
        request.view_args = view.keywords
        auth.check_allowed(auth.caller(), request)
        with suppress(BadRequest, UnicodeDecodeError, ValidationError):
            view()  # 404 goes before 405
    allowed.append("OPTIONS")
    if request.method == "OPTIONS":
        return answers.no_content({"Allow": ", ".join(allowed)})
    raise MethodNotAllowed(allowed, f"Use one of {', '.join(allowed)}.")


def unavailable(error: SQLAlchemyError) -> Response:
    """Answer for a database that is away, or that was never set up."""
    models.db.session.rollback()
    if errors.is_table_missing(error):
        return errors.as_json(errors.not_initialised())
    if isinstance(error, ProgrammingError):
        raise error
    logger.error("The database failed: %s", errors.reason_of(error))
    away = "The database cannot do this now; try again."
    return errors.as_json(ServiceUnavailable(away, retry_after=5))


def not_utf8(error: UnicodeDecodeError) -> Response:
    """Answer for a query that werkzeug cannot decode."""
    if error.object != request.query_string:
        raise error
    return errors.as_json(BadRequest("The query is not UTF-8; encode it as UTF-8."))
