"""Errors as JSON, with the headers that they already have."""

import json
from typing import Any

from flask import Response
from marshmallow import ValidationError
from marshmallow.exceptions import SCHEMA
from werkzeug.exceptions import BadRequest, HTTPException


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
