"""Answers as JSON, lists among them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from flask import Blueprint, Response, g, request
from werkzeug.exceptions import NotAcceptable

from order_statuses import errors


class Resource(Blueprint):
    """A blueprint whose addresses may end in a slash.

    OPTIONS is left to the catch-all, which knows what other methods there are.
    """

    def add_url_rule(self, *args: Any, **options: Any) -> None:
        ours = {"strict_slashes": False, "provide_automatic_options": False}
        super().add_url_rule(*args, **{**options, **ours})


def as_json(
    body: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return *body* as JSON, its keys in their order whatever the host's settings.

    Dataclasses are objects of their fields.
    """
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), default=vars)
    return Response(text, status, headers, content_type="application/json")


def no_content(headers: Mapping[str, str] | None = None) -> Response:
    """Return a 204, which has no media type either."""
    response = Response(status=204, headers=headers)
    response.headers.remove("Content-Type")
    return response


def as_list(name: str, items: Sequence[Any], query: Mapping[str, Any]) -> Response:
    """Return the page of *items* that *query* asks for, in the mount's list form.

    An array, or an envelope with *name* as its key; ``X-Total-Count`` is the number of
    all items, and a list that is cut has a ``Link`` to its other pages (RFC 8288).
    """
    page, size = query["page"], query["items_per_page"] or max(len(items), 1)
    shown: Any = items[(page - 1) * size : page * size]
    headers = {"X-Total-Count": str(len(items))}
    if query["items_per_page"]:
        headers["Link"] = links(page, max(-(-len(items) // size), 1))
    if g.order_statuses_list_form == "envelope":
        paging = {
            "items_per_page": query["items_per_page"],
            "page": page,
            "total_items": len(items),
        }
        shown = {name: shown, "params": paging}
    return as_json(shown, headers=headers)


def links(page: int, last: int) -> str:
    """Return the ``Link`` of a page to the others, keeping the other parameters."""
    pages = {"first": 1, "prev": min(page - 1, last), "next": page + 1, "last": last}
    kept = [pair for pair in request.args.items(multi=True) if pair[0] != "page"]
    path = quote(request.root_path + request.path)
    return ", ".join(
        f'<{path}?{urlencode([*kept, ("page", number)])}>; rel="{relation}"'
        for relation, number in pages.items()
        if 1 <= number <= last
    )


def negotiate(response: Response) -> Response:
    """Put a 406 in the place of an answer whose media type *Accept* rules out."""
    refusable = response.status_code in {200, 304, 400}
    if request.method not in {"GET", "HEAD"} or not refusable or accepts_json():
        return response
    return errors.as_json(NotAcceptable("The answer is JSON; accept application/json."))


def accepts_json() -> bool:
    """Say whether *Accept* lets application/json or text/json through."""
    header = request.headers.get("Accept", "").strip()
    if header in {"", "*/*", "application/json"}:
        return True
    # Without parameters: clients send application/json; charset=utf-8 here as well.
    accepted = {
        media_type.partition(";")[0].strip().lower(): quality
        for media_type, quality in reversed(request.accept_mimetypes)
    }
    ranges = ("application/json", "application/*", "*/*"), ("text/json", "text/*")
    qualities = [[accepted[r] for r in by if r in accepted] for by in ranges]
    return any(found and found[0] > 0 for found in qualities)
