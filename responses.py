"""JSON responses: one resource, lists and their paging, errors."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from flask import Blueprint, Response, current_app, request
from marshmallow import ValidationError
from marshmallow.exceptions import SCHEMA
from werkzeug.exceptions import BadRequest, HTTPException

from . import config

# A query may be long, and nginx takes no more than 4 KB of headers from a server.
MAX_LINK = 2000

Headers = Mapping[str, str] | Iterable[tuple[str, str]]


class ApiBlueprint(Blueprint):
    """A blueprint whose routes also match with a slash at the end.

    Its views must take ``**_``, since a shop's prefix may have variables. The fallback
    responds to OPTIONS, since it knows all methods of an address.
    """

    list_form = "array"

    def add_url_rule(self, rule: str, *args: Any, **options: Any) -> None:
        options |= {"strict_slashes": False, "provide_automatic_options": False}
        super().add_url_rule(rule, *args, **options)


def as_json(body: Any, status: int = 200, headers: Headers | None = None) -> Response:
    """Return *body* as JSON, its keys in their order whatever the shop's settings.

    A dataclass becomes an object of its fields; the position only if a setting says so.
    """
    fields = vars if config.shows_position() else fields_but_position
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), default=fields)
    return Response(text, status, headers, content_type="application/json")


def fields_but_position(item: Any) -> dict[str, Any]:
    fields: dict[str, Any] = vars(item).copy()
    fields.pop("position", None)
    return fields


def no_content(headers: Headers | None = None) -> Response:
    """Return a 204, which has no Content-Type either."""
    response = Response(status=204, headers=headers)
    response.headers.remove("Content-Type")
    return response


def as_list(name: str, items: Sequence[Any], query: Mapping[str, Any]) -> Response:
    """Return the page of *items* that *query* asks for, in the mount's list form.

    An array, or an envelope with *name* as its key; ``X-Total-Count`` is the number of
    all items. A page of a list has a ``Link`` header (RFC 8288), unless it would exceed
    2,000 bytes.
    """
    page, size = query["page"], query["items_per_page"] or max(len(items), 1)
    shown: Any = items[(page - 1) * size : page * size]
    headers = {"X-Total-Count": str(len(items))}
    if query["items_per_page"]:
        link = links(page, max(-(-len(items) // size), 1))
        if len(link) <= MAX_LINK:
            headers["Link"] = link
    if list_form() == "envelope":
        paging = {
            "items_per_page": query["items_per_page"],
            "page": page,
            "total_items": len(items),
        }
        shown = {name: shown, "params": paging}
    return as_json(shown, headers=headers)


def list_form() -> str:
    """Return the form of lists, array or envelope, of the request's mount."""
    mount = current_app.blueprints[request.blueprints[1]]  # the resource's parent
    return (
        mount.list_form if isinstance(mount, ApiBlueprint) else ApiBlueprint.list_form
    )


def links(page: int, last: int) -> str:
    """Return the ``Link`` header of a page, with the other parameters of the query."""
    pages = {"first": 1, "prev": min(page - 1, last), "next": page + 1, "last": last}
    kept = [pair for pair in request.args.items(multi=True) if pair[0] != "page"]
    return ", ".join(
        f'<{address()}?{urlencode([*kept, ("page", number)])}>; rel="{relation}"'
        for relation, number in pages.items()
        if 1 <= number <= last
    )


def address() -> str:
    """Return the path of the request, quoted for a header."""
    return quote(request.root_path + request.path)


def error_body(phrase: str, why: str | None, status: int | None) -> dict[str, Any]:
    return {"message": f"{phrase}: {why}", "status": status}


def as_error(error: HTTPException, **more: Any) -> Response:
    """Return *error* as ``{"message": "<phrase>: <what and why>", "status": 404}``."""
    body = error_body(error.name, error.description, error.code)
    headers = [h for h in error.get_headers() if h[0] != "Content-Type"]
    return as_json(body | more, error.code or 500, headers)


def from_validation(error: ValidationError) -> Response:
    """Return a 400 that names each field in which marshmallow has found an error."""
    fields: dict[str, list[str]] = error.normalized_messages()  # type: ignore[no-untyped-call]
    found = [
        problem if name == SCHEMA else f"{name}: {problem}"
        for name, problems in fields.items()
        for problem in problems
    ]
    return as_error(BadRequest(" ".join(found)), errors=fields)
