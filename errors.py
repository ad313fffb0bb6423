"""Errors: as JSON for clients, in words for those who run the service."""

import json
import logging
from typing import Any

from flask import Response, current_app
from marshmallow import ValidationError
from marshmallow.exceptions import SCHEMA
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import BadRequest, HTTPException, ServiceUnavailable

READER = "order_statuses_reader"  # the standalone service's own engine

logger = logging.getLogger(__name__)


def as_json(error: HTTPException, **more: Any) -> Response:
    """Return *error* as ``{"message": "<phrase>: <what and why>", "status": 404}``."""
    body = {"message": f"{error.name}: {error.description}", "status": error.code}
    headers = [h for h in error.get_headers() if h[0] != "Content-Type"]
    return Response(
        json.dumps(body | more, ensure_ascii=False),
        status=error.code,
        headers=headers,
        content_type="application/json",
    )


def from_validation(error: ValidationError) -> Response:
    """Return what marshmallow found as a 400 that names each field."""
    fields: dict[str, list[str]] = error.normalized_messages()  # type: ignore[no-untyped-call]
    found = [
        problem if name == SCHEMA else f"{name}: {problem}"
        for name, problems in fields.items()
        for problem in problems
    ]
    return as_json(BadRequest(" ".join(found)), errors=fields)


def is_service() -> bool:
    """Say whether this is the standalone service, whose engine is its own."""
    return READER in current_app.extensions


def how_to_set_up() -> str:
    """Tell the operator, or the shop's developer, what to do."""
    how = (
        "flask order-statuses init does it."
        if is_service()
        else "your migrations and then flask order-statuses load-stock do it; without "
        "migrations, flask order-statuses load-stock --create-tables."
    )
    return f"The database is not set up: {how}"


def not_initialised() -> ServiceUnavailable:
    """Tell the operator what to do, and return the error that clients see."""
    logger.error(how_to_set_up())
    return ServiceUnavailable("The database is not set up yet.", retry_after=5)


def is_table_missing(error: SQLAlchemyError) -> bool:
    """Say whether *error* is PostgreSQL's or SQLite's word for a missing table."""
    cause = getattr(error, "orig", None)
    return getattr(cause, "sqlstate", "") == "42P01" or "no such table" in str(cause)


def reason_of(error: SQLAlchemyError) -> str:
    """Return what the database said, in one line."""
    return str(getattr(error, "orig", None) or error).partition("\n")[0]
