"""The OpenAPI document, read off the routes, the views and their schemas."""

import inspect
import re
from collections.abc import Callable
from posixpath import commonpath
from threading import Lock
from typing import Any, cast
from urllib.parse import urlencode

from flask import current_app, request
from flask.typing import ResponseReturnValue
from marshmallow import Schema
from werkzeug.routing import Rule

from . import bodies, descriptions, operations, schemas
from .descriptions import ID, INTEGER, STRING, Json
from .responses import Resource, as_json

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

# OpenAPI knows no pairs as text/plain.
ENCODED = STRING | {"contentMediaType": "application/x-www-form-urlencoded"}


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
        for item in operations.ITEMS.values():
            self.spec.components.schema(item.__name__, descriptions.read(item))
        for name, meaning in operations.CONDITIONS.items():
            condition = {"description": meaning, "schema": STRING}
            self.spec.components.parameter(name, "header", condition)
        self.add_headers()
        self.add_errors()
        for rule in self.rules:
            self.add(rule)
        return self.spec.to_dict()

    def add_headers(self) -> None:
        for name, meaning in operations.HEADERS.items():
            header = {
                "description": meaning,
                "required": name not in operations.OPTIONAL_HEADERS,
                "schema": INTEGER if name in operations.NUMBERS else STRING,
            }
            self.spec.components.header(name, header)

    def add_errors(self) -> None:
        self.spec.components.security_scheme(
            "basic", {"type": "http", "scheme": "basic"}
        )
        self.spec.components.schema("Error", descriptions.error())
        for code, meaning in operations.ERRORS.items():
            refusal = operations.answer(
                meaning,
                operations.HEADERS_OF.get(code, ()),
                operations.reference("Error"),
            )
            self.spec.components.response(operations.name_of(code), refusal)

    def add(self, rule: Rule) -> None:
        """Add the operations of a *rule*; what answers GET answers OPTIONS as well."""
        address = re.sub("<(.+?)>", r"{\1}", rule.rule.removeprefix(self.prefix))
        view = inspect.unwrap(current_app.view_functions[rule.endpoint])
        methods = sorted(rule.methods or ())
        described = {m.lower(): self.operation(m, address, view) for m in methods}
        if self.api.name not in rule.endpoint.split("."):  # outside the API's guard
            public = {"200": operations.answer("It is there.", (), {"type": "object"})}
            for operation in described.values():
                operation |= {"security": [], "responses": public}
        if "GET" in methods:
            described["options"] = self.operation("OPTIONS", address, view)
        self.spec.path(
            address,
            operations=described,
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
            "responses": operations.success(method, address, self.api.list_form),
        }
        if more:
            described["description"] = more.replace("\n", " ")
        if method in operations.ALIKE:
            described |= {
                "operationId": f"{module}_{view.__name__}_{method.lower()}",
                "summary": operations.ALIKE[method],
            }
        if query and method != "OPTIONS":
            described["parameters"] += [{"in": "query", "schema": query}]
        if method in operations.CONDITIONAL:
            described["parameters"] += operations.CONDITIONS
        if sent:
            described["requestBody"] = self.body(sent)
        for code in operations.refusals(method, address):
            described["responses"][str(code)] = operations.name_of(code)
        return described

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
        as_form = {"schema": operations.reference(f"{name}Form")}
        by_decoder: dict[bodies.Decoder, Json] = {
            bodies.decode_json: {"schema": operations.reference(f"{name}Body")},
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
