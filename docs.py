"""The OpenAPI document, read off the routes, the views and their schemas.

What all operations share, and no view's docstring says, is derived here from the
method and the address.
"""

import inspect
import re
from collections.abc import Callable, Iterable
from posixpath import commonpath
from threading import Lock
from typing import Any, cast
from urllib.parse import urlencode

from flask import current_app, request
from flask.typing import ResponseReturnValue
from marshmallow import Schema
from werkzeug.exceptions import default_exceptions
from werkzeug.routing import Rule

from order_statuses import bodies, descriptions, schemas
from order_statuses.answers import CACHING, Resource, as_json
from order_statuses.auth import SAFE_METHODS
from order_statuses.catalogue import OrderStatus, Storefront
from order_statuses.descriptions import ID, INTEGER, STRING, Json, closed

ADDRESS = "/openapi.json"
ABOUT = """\
The order statuses of a shop, compatible with CS-Cart's REST API.

A body is read by its Content-Type: `application/json`, `text/json` and
`application/*+json` as a JSON object; `application/x-www-form-urlencoded`,
`text/plain` and none at all as URL-encoded pairs, `params[color]=%23ffffff` among them;
`multipart/form-data` as the same fields. Fields that are not listed here are ignored.

An error is JSON whose `message` says what is wrong and what to do; a success never has
a `message`. A method that an address does not have is answered with 405 and an `Allow`
of those that it has, an address that is not listed here with 404.
"""

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

# OpenAPI knows no pairs as text/plain.
ENCODED = STRING | {"contentMediaType": "application/x-www-form-urlencoded"}
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


def create_docs_blueprint(api: Resource) -> Resource:
    """Return a new blueprint of the document of *api*.

    Nested in *api* it is for those who may call the API; mounted beside it, at the
    same prefix, for everyone.
    """
    bp = Resource("docs", __name__)
    building = Lock()

    @bp.get(ADDRESS)
    def document() -> ResponseReturnValue:
        """Read this document."""
        built = current_app.extensions.setdefault("order_statuses_docs", {})
        with building:
            if api.name not in built:
                built[api.name] = Document(api, document).built()
        prefix = request.path.rstrip("/").removesuffix(ADDRESS)
        servers = [{"url": request.root_path + prefix}]
        return as_json(built[api.name] | {"servers": servers})

    return bp


def rules_of(api: Resource, document: Callable[..., Any]) -> list[Rule]:
    """Return the rules of the resources nested in *api*, and of its *document*."""
    return [
        rule
        for rule in current_app.url_map.iter_rules()
        if api.name in rule.endpoint.split(".")[:-2]
        or current_app.view_functions[rule.endpoint] is document
    ]


class Document:
    """A document being written: what operations have in common goes first."""

    def __init__(self, api: Resource, view: Callable[..., Any]) -> None:
        # Here, since most processes are never asked for a document.
        from apispec import APISpec
        from apispec.ext.marshmallow import MarshmallowPlugin
        from apispec.ext.marshmallow.openapi import OpenAPIConverter

        marshmallow = MarshmallowPlugin()
        about: Json = {"info": {"description": ABOUT}, "security": [{"basic": []}]}
        self.spec = APISpec("Order statuses", "2.0", "3.1.0", [marshmallow], **about)
        self.converter = cast(OpenAPIConverter, marshmallow.converter)
        self.converter.add_attribute_function(descriptions.describe)
        self.api = api
        self.rules = rules_of(api, view)
        self.prefix = commonpath([rule.rule for rule in self.rules])

    def built(self) -> Json:
        """Return the whole document."""
        for item in ITEMS.values():
            self.spec.components.schema(item.__name__, descriptions.read(item))
        for name, meaning in CONDITIONS.items():
            condition = {"description": meaning, "schema": STRING}
            self.spec.components.parameter(name, "header", condition)
        self.add_headers()
        self.add_errors()
        for rule in self.rules:
            self.add(rule)
        return self.spec.to_dict()

    def add_headers(self) -> None:
        for name, meaning in HEADERS.items():
            header = {
                "description": meaning,
                "required": name not in OPTIONAL_HEADERS,
                "schema": INTEGER if name in NUMBERS else STRING,
            }
            self.spec.components.header(name, header)

    def add_errors(self) -> None:
        self.spec.components.security_scheme(
            "basic", {"type": "http", "scheme": "basic"}
        )
        self.spec.components.schema("Error", descriptions.error())
        for code, meaning in ERRORS.items():
            refusal = answer(meaning, HEADERS_OF.get(code, ()), reference("Error"))
            self.spec.components.response(name_of(code), refusal)

    def add(self, rule: Rule) -> None:
        """Add the operations of a *rule*; what answers GET answers OPTIONS as well."""
        address = re.sub("<(.+?)>", r"{\1}", rule.rule.removeprefix(self.prefix))
        view = inspect.unwrap(current_app.view_functions[rule.endpoint])
        methods = sorted(rule.methods or ())
        operations = {m.lower(): self.operation(m, address, view) for m in methods}
        if self.api.name not in rule.endpoint.split("."):  # outside the API's guard
            public = {"200": answer("It is there.", (), {"type": "object"})}
            for operation in operations.values():
                operation |= {"security": [], "responses": public}
        if "GET" in methods:
            operations["options"] = self.operation("OPTIONS", address, view)
        self.spec.path(
            address,
            operations=operations,
            parameters=[
                {"in": "path", "name": name, "schema": ID}
                for name in re.findall("{(.+?)}", address)
            ],
        )

    def operation(self, method: str, address: str, view: Callable[..., Any]) -> Json:
        """Return what the *view* of an address does for a *method*."""
        module = view.__module__.rpartition(".")[2]
        summary, _, more = (inspect.getdoc(view) or "").partition("\n\n")
        query, sent = schemas_of(view)
        described: Json = {
            "tags": [module],
            "operationId": f"{module}_{view.__name__}",
            "summary": summary,
            "parameters": [],
            "responses": self.success(method, address),
        }
        if more:
            described["description"] = more.replace("\n", " ")
        if method in ALIKE:
            described |= {
                "operationId": f"{module}_{view.__name__}_{method.lower()}",
                "summary": ALIKE[method],
            }
        if query and method != "OPTIONS":
            described["parameters"] += [{"in": "query", "schema": query}]
        if method in CONDITIONAL:
            described["parameters"] += CONDITIONS
        if sent:
            described["requestBody"] = self.body(sent)
        for code in refusals(method, address):
            described["responses"][str(code)] = name_of(code)
        return described

    def success(self, method: str, address: str) -> Json:
        """Return the answer of a *method* that succeeds, by its status code."""
        if method in DONE:
            code, meaning, headers, names = DONE[method]
            content = closed({name: ID for name in names}) if names else None
            return {str(code): answer(meaning, headers, content)}
        name = re.findall("/([a-z]+)", address)[-1]
        is_list = name in ITEMS and not address.endswith("}")
        headers = [*CACHING, "ETag", *(PAGING if is_list else ())]
        content = self.list_of(name) if is_list else item(name)
        return {
            "200": answer("It is there.", headers, content),
            "304": answer("It is what If-None-Match names.", headers, None),
        }

    def list_of(self, name: str) -> Json:
        """Return the JSON Schema of a list in the mount's form."""
        items = {"type": "array", "items": item(name)}
        if self.api.list_form == "array":
            return items
        numbers = dict.fromkeys(("items_per_page", "page", "total_items"), INTEGER)
        return closed({name: items, "params": closed(numbers)})

    def body(self, schema: Schema) -> Json:
        """Return the request body that *schema* loads, in every media type."""
        name = type(schema).__name__.removesuffix("Schema")
        described = self.converter.fields2jsonschema(
            schema.load_fields, partial=schema.partial
        )
        sent = descriptions.sent(schema, described)
        form = descriptions.as_form(sent)
        self.spec.components.schema(f"{name}Body", sent)
        self.spec.components.schema(f"{name}Form", form)
        as_form = {"schema": reference(f"{name}Form")}
        by_decoder: dict[bodies.Decoder, Json] = {
            bodies.decode_json: {"schema": reference(f"{name}Body")},
            bodies.decode_form: as_form,
            bodies.decode_multipart: as_form,
        }
        types = bodies.DECODERS.items()
        content = {kind: by_decoder[decoder] for kind, decoder in types if kind}
        content["text/plain"] = {
            "schema": ENCODED | {"contentSchema": as_form["schema"]},
            "example": urlencode(form["examples"][0]),
        }
        return {"required": True, "content": content}


def schemas_of(view: Callable[..., Any]) -> tuple[schemas.Query | None, Schema | None]:
    """Return the schemas, of the query and of the body, that the code of *view* names.

    A table of them would say again what the views say, and could say it wrong.
    """
    names = inspect.getclosurevars(view).globals.values()
    used = [schema for schema in names if isinstance(schema, Schema)]
    queries = [schema for schema in used if isinstance(schema, schemas.Query)]
    others = [schema for schema in used if not isinstance(schema, schemas.Query)]
    return next(iter(queries), None), next(iter(others), None)


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
