"""What an operation is answered, for the OpenAPI document.

No view's docstring says what all operations share; here it is derived from the method
and the address.
"""

import re
from collections.abc import Iterable

from flask import current_app
from werkzeug.exceptions import default_exceptions

from .auth import SAFE_METHODS
from .caching import HEADERS as CACHING
from .descriptions import ID, INTEGER, Json, closed
from .reading import OrderStatus, Storefront

ERRORS = {
    400: "What was sent cannot be used; the message says what to change.",
    401: "The caller is unknown; send an API user's e-mail and key.",
    403: "The caller may not do this, or another site sent the request.",
    404: "There is no such status, store or address.",
    405: "The address does not have this method.",
    406: "Accept rules JSON out.",
    412: "If-Match or If-None-Match does not hold.",
    413: "The body is larger than 1 MiB or has too many parts.",
    415: "The Content-Type is not understood.",
    428: "If-Match is required here.",
    500: "The service failed; its log says why.",
    503: "The database is away or not set up; try again later.",
}

HEADERS = {
    "Allow": "The methods that the address has.",
    "Cache-Control": "Caches must ask each time whether it is still so.",
    "ETag": "Stands for this very answer, in If-None-Match and If-Match.",
    "Link": "The first, previous, next and last page, when the list is cut (RFC 8288).",
    "Location": "The address of what was created.",
    "Retry-After": "After how many seconds to try again.",
    "Vary": "What else the answer depends on.",
    "WWW-Authenticate": "How to send credentials.",
    "X-Total-Count": "The number of all items, whatever the page.",
}
OPTIONAL_HEADERS = {"Link"}
PAGING = ("X-Total-Count", "Link")
NUMBERS = {"Retry-After", "X-Total-Count"}
HEADERS_OF = {401: ["WWW-Authenticate"], 405: ["Allow"], 503: ["Retry-After"]}

# What answers to reading hold, by the last word of their address.
ITEMS = {"statuses": OrderStatus, "stores": Storefront}
# The successes of the other methods: status code, meaning, headers, fields of the body.
DONE: dict[str, tuple[int, str, list[str], list[str]]] = {
    "DELETE": (204, "It is deleted.", [], []),
    "OPTIONS": (204, "The methods that the address has.", ["Allow"], []),
    "POST": (201, "It is created.", ["Location"], ["statuses_id", "status_id"]),
    "PUT": (200, "It is changed.", [], ["status_id"]),
}
# What may be asked for on condition of an ETag (RFC 9110 §13), and by which headers.
CONDITIONAL = {"GET", "HEAD", "PUT", "DELETE"}
CONDITIONS = {
    "If-Match": "Only if it still has this ETag.",
    "If-None-Match": "Only if it no longer has this ETag.",
}
ALIKE = {
    "HEAD": "Read the headers alone.",
    "OPTIONS": "Ask for the methods that the address has.",
}


def success(method: str, address: str, list_form: str) -> Json:
    """Return the answer of a *method* that succeeds, by its status code."""
    if method in DONE:
        code, meaning, headers, names = DONE[method]
        content = closed({name: ID for name in names}) if names else None
        return {str(code): answer(meaning, headers, content)}
    name = re.findall("/([a-z]+)", address)[-1]
    is_list = name in ITEMS and not address.endswith("}")
    headers = [*CACHING, "ETag", *(PAGING if is_list else ())]
    content = list_of(name, list_form) if is_list else item(name)
    return {
        "200": answer("It is there.", headers, content),
        "304": answer("It is what If-None-Match names.", headers, None),
    }


def list_of(name: str, list_form: str) -> Json:
    """Return the JSON Schema of a list in a form."""
    items = {"type": "array", "items": item(name)}
    if list_form == "array":
        return items
    numbers = dict.fromkeys(("items_per_page", "page", "total_items"), INTEGER)
    return closed({name: items, "params": closed(numbers)})


def refusals(method: str, address: str) -> list[int]:
    """Return the status codes that refuse such a request, or tell of a failure."""
    reads, sends = method in {"GET", "HEAD"}, method in {"POST", "PUT"}
    possible = {
        400: method != "OPTIONS",
        401: True,
        403: method not in SAFE_METHODS or "{store_id}" in address,
        404: "{" in address,
        406: reads,
        412: method in CONDITIONAL,
        413: sends,
        415: sends,
        428: method in CONDITIONAL - {"GET", "HEAD"} and is_condition_required(),
        500: True,
        503: True,
    }
    return [code for code, is_possible in possible.items() if is_possible]


def is_condition_required() -> bool:
    required: bool = current_app.config["ORDER_STATUSES_REQUIRE_IF_MATCH"]
    return required


def item(name: str) -> Json:
    """Return the JSON Schema of what one address of *name* holds."""
    return reference(ITEMS[name].__name__) if name in ITEMS else {"type": "object"}


def answer(meaning: str, headers: Iterable[str], content: Json | None) -> Json:
    """Return an answer with these *headers* and a body of the schema *content*."""
    described: Json = {
        "description": meaning,
        "headers": {h: {"$ref": f"#/components/headers/{h}"} for h in headers},
    }
    if content:
        described["content"] = {"application/json": {"schema": content}}
    return described


def name_of(code: int) -> str:
    """Return the name of the component for errors with this status code.

    >>> name_of(404)
    'NotFound'
    """
    return re.sub("[^A-Za-z]", "", default_exceptions[code]().name)


def reference(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}
