"""Answers as JSON, lists among them: remembered, conditional."""

import json
from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from typing import Any, cast
from urllib.parse import quote, urlencode

from flask import Blueprint, Response, current_app, g, request
from flask.globals import request_ctx
from werkzeug.exceptions import (
    HTTPException,
    PreconditionFailed,
    PreconditionRequired,
)
from werkzeug.routing import MapAdapter

from order_statuses import errors, models
from order_statuses.auth import caller
from order_statuses.bodies import Sent
from order_statuses.memory import Memory, Remembered

READS = {"GET", "HEAD"}
ADMITTED = "order_statuses.admitted"
CONDITIONS = {"HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH"}
CHANGED = "It is not what you have seen; GET it again."
CACHING = {
    "Cache-Control": "private, no-cache",
    "Vary": "Authorization, Cookie",
}


class Resource(Blueprint):
    """A blueprint whose addresses may end in a slash.

    OPTIONS is left to the catch-all, which knows what other methods there are.
    """

    list_form = "array"

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


def recall() -> Response | None:
    """Return what the same GET was answered before, if that still holds."""
    if request.method not in READS:
        return None
    if not g.order_statuses_tokens:  # the host identified the caller
        models.read(models.TOKEN, {})
    remembered = memory().get(memory_key())
    return remembered and Response(remembered.body, headers=remembered.headers)


def finish(response: Response) -> Response:
    """Complete the answer to a GET: remembered, conditional."""
    if ADMITTED not in request.environ:  # a host answered before the API was reached
        return response
    if request.method not in READS or response.status_code != 200:
        return response
    if "ETag" not in response.headers:
        remember(response)
    if CONDITIONS & request.environ.keys():
        return conditional(response)
    return response


def remember(response: Response) -> None:
    """Say how the answer may be kept, and keep it."""
    headers = {**CACHING, "ETag": f'"{etag_of(response)}"'}
    response.headers.extend(headers)
    answer = Remembered(response.get_data(), list(response.headers))
    memory().keep(memory_key(), answer)


def conditional(response: Response) -> Response:
    """Return 304 for what the client has, or 412 for what it does not want."""
    etag = response.get_etag()[0] or ""
    if request.if_match and etag not in request.if_match:
        return errors.as_json(PreconditionFailed(CHANGED))
    if request.if_none_match.contains_weak(etag):
        response.status_code = 304
    return response


def check_preconditions(sent: Sent | None = None) -> None:
    """Let a write go on if its conditions hold for a GET of the same address now.

    :raise 428: a condition is required, and there is none
    :raise 412: what is there is not what the client has seen (RFC 9110 §13)
    """
    required = current_app.config["ORDER_STATUSES_REQUIRE_IF_MATCH"]
    if not (required or CONDITIONS & request.environ.keys()):
        return
    etag = etag_of(cast("partial[Response]", view_of("GET"))())  # 404 goes first
    if sent:
        sent.check()
    if required and not request.if_match:
        raise PreconditionRequired("Send If-Match with the ETag that a GET gives.")
    if (request.if_match and etag not in request.if_match) or (
        request.if_none_match.contains_weak(etag)
    ):
        raise PreconditionFailed(CHANGED)


def view_of(method: str) -> partial[Any] | None:
    """Return what answers *method* at this address, unless that is the catch-all."""
    adapter = cast(MapAdapter, request_ctx.url_adapter)
    try:
        endpoint, arguments = adapter.match(method=method)
    except HTTPException:
        return None
    if endpoint.endswith(".elsewhere"):
        return None
    view = current_app.ensure_sync(current_app.view_functions[endpoint])
    return partial(view, **arguments)


def etag_of(response: Response) -> str:
    return digest(response.get_data())


def digest(content: bytes) -> str:
    return blake2b(content, digest_size=16).hexdigest()


def memory() -> Memory:
    of_app: Memory = current_app.extensions["order_statuses_memory"]
    return of_app


def memory_key() -> Hashable:
    """Return all that an answer depends on.

    That is one token alone, unless somebody wrote while the answer was made: it is then
    kept under both, which nobody asks for again.
    """
    environ = request.environ
    address = [environ.get(k) for k in ("SCRIPT_NAME", "PATH_INFO", "QUERY_STRING")]
    tokens = frozenset(g.order_statuses_tokens)
    return tokens, caller().store_id, request.endpoint, digest(repr(address).encode())
