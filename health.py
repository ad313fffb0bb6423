"""Whether the service lives and is ready, for the probes of its operators."""

import logging
from functools import cache

from flask import Response
from flask.typing import ResponseReturnValue
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import ServiceUnavailable

from order_statuses import cli
from order_statuses.answers import Resource, as_json
from order_statuses.errors import reason_of
from order_statuses.models import db

VERSION = text("SELECT version_num FROM order_statuses_version")

bp = Resource("health", __name__)
logger = logging.getLogger(__name__)


@bp.get("/livez")
def live() -> ResponseReturnValue:
    """Answer, whatever the database does: a restart would not help it."""
    return as_json({"status": "live"})


@bp.get("/readyz")
def ready() -> ResponseReturnValue:
    """Answer if the database does, and has the tables of this version.

    :raise 503: it does not; the log says why
    """
    try:
        found = db.session.scalar(VERSION)
    except SQLAlchemyError as error:
        raise not_ready(reason_of(error)) from error
    if found != newest():
        raise not_ready(f"the tables are at version {found}, not at {newest()}")
    return as_json({"status": "ready"})


@bp.after_request
def never_store(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


def not_ready(reason: object) -> ServiceUnavailable:
    logger.error("Not ready: %s", reason)
    return ServiceUnavailable("The service is not ready.", retry_after=5)


@cache
def newest() -> str | None:
    """Return the version that *init* brings the tables to."""
    from alembic.script import ScriptDirectory  # here, since only probes need it

    return ScriptDirectory(str(cli.HERE / "migrations")).get_current_head()
