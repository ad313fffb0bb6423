"""The fields of openapi.yaml against those of the code: neither changes alone."""

import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import fields as fields_of
from functools import partial
from typing import Any

import pytest
from flask import Flask
from marshmallow import Schema, ValidationError, fields, missing, validate
from werkzeug.routing import Rule

from order_statuses import bodies, config, schemas
from order_statuses.app import create_app
from order_statuses.reading import ID, OrderStatus, Storefront

from .contract import NEVER_OPENED, PREFIXES
from .document import SETTINGS, Json, operations, parameters, resolve, served

QUERIES = (schemas.PageQuery, schemas.StatusQuery, schemas.WriteQuery)
PREFIX = "/api/2.0"
STRING = {"type": "string"}
# What is for people alone.
WORDS = {"description", "summary", "example", "examples"}
FORMS = {
    "application/json": "Body",
    "text/json": "Body",
    "application/x-www-form-urlencoded": "Form",
    "text/plain": "Form",
    "multipart/form-data": "Multipart",
}


@pytest.fixture(scope="module", params=SETTINGS)
def settings(request: pytest.FixtureRequest) -> dict[str, str]:
    return {**request.param, "ORDER_STATUSES_POSITION": "yes"}


@pytest.fixture(scope="module")
def app(settings: dict[str, str]) -> Flask:
    return create_app(NEVER_OPENED | settings)


@pytest.fixture(scope="module")
def document(settings: dict[str, str]) -> Json:
    return served(**settings)


@pytest.fixture(scope="module")
def components(document: Json) -> Json:
    """The component schemas without words and references."""
    resolved = resolve(document, document["components"]["schemas"])
    return {name: without_words(schema) for name, schema in resolved.items()}


def without_words(schema: Any) -> Any:
    """Return *schema* without what is for people, and what has an order without it."""
    if not isinstance(schema, dict):
        return schema
    plain = {name: without_words(s) for name, s in schema.items() if name not in WORDS}
    for name in ("properties", "patternProperties"):
        if name in schema:
            plain[name] = {n: without_words(s) for n, s in schema[name].items()}
    if isinstance(schema.get("type"), list):
        plain["type"] = sorted(schema["type"])
    if "anyOf" in schema:
        plain["anyOf"] = [without_words(s) for s in schema["anyOf"]]
    return plain


# The fields of a schema, as JSON Schema.


def length(check: validate.Length) -> Json:
    limits = {"minLength": check.min, "maxLength": check.max}
    return {name: limit for name, limit in limits.items() if limit is not None}


def params() -> Json:
    return {
        "properties": {name: known_param(name) for name in schemas.KNOWN_PARAMS},
        "propertyNames": {"pattern": f"^{schemas.PARAM_NAME}$"},
        "additionalProperties": {
            "type": ["boolean", "null", "number", "string"],
            "maxLength": schemas.PARAM_LENGTH,
        },
        "maxProperties": schemas.MAX_PARAMS,
    }


def known_param(name: str) -> Json:
    """Return the JSON Schema of a known param, and of the scalars that stand for it.

    An empty one is removed.
    """
    pattern = schemas.KNOWN_PARAMS[name]
    types, limits = {"null", "string"}, {}
    if all(re.fullmatch(pattern, word) for word in "YN"):
        types.add("boolean")
    if all(re.fullmatch(pattern, digit) for digit in "0123456789"):
        types.add("integer")
        limits = {"minimum": 0, "maximum": 9}
    return {"type": sorted(types), "pattern": f"^({pattern})?$", **limits}


TYPES: "dict[type[fields.Field[Any]], str]" = {
    fields.String: "string",
    fields.Integer: "integer",
    fields.Dict: "object",
    fields.List: "string",  # in a query, with commas
}
ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
WHITE_SPACE = r"[\s\x1c-\x1f\x85]*"
SEEN = (
    r"[^\s\x00-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e"
    r"\u200b-\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb]"
)
NAME: str = rf"^{WHITE_SPACE}(?=[\s\S]*{SEEN})[^\x00-\x1f\x7f-\x9f]*{WHITE_SPACE}$"
# What a field of ours does before it is checked.
FIELDS: dict[Any, Callable[[], Json]] = {
    schemas.Digits: lambda: {"maximum": 10**18 - 1},
    schemas.Params: lambda: params(),
}
# Every check that a field of ours may have. The patterns are tested below.
CHECKS: dict[Any, Callable[[Any], Json]] = {
    validate.Length: length,
    validate.OneOf: lambda check: {"enum": list(check.choices)},
    validate.Range: lambda check: {"minimum": check.min},
    schemas.known_language: lambda _: {"enum": list(config.languages())},
    schemas.known_type: lambda _: {"enum": list(config.types())},
    schemas.storable: lambda _: {},  # a body with another text is a 400 before
    schemas.one_line: lambda _: {"pattern": ONE_LINE},
    schemas.no_control_characters: lambda _: {},  # in the pattern of the next
    schemas.visible: lambda _: {"pattern": NAME},
}


def described(field: "fields.Field[Any]") -> Json:
    """Return the JSON Schema of what *field* loads.

    :raise KeyError: it has a check that is not in CHECKS, and so in no document
    """
    (type_,) = (type_ for kind, type_ in TYPES.items() if isinstance(field, kind))
    schema: Json = {"type": type_} | FIELDS.get(type(field), dict)()
    if isinstance(field, fields.Dict) and field.value_field:
        schema["additionalProperties"] = described(field.value_field)
    for check in field.validators:
        is_ours = inspect.isfunction(check)
        schema |= CHECKS[check if is_ours else type(check)](check)
    default = field.load_default
    if default is not missing:
        schema["default"] = default() if callable(default) else default
    if isinstance(field, schemas.YesNo):
        return {"anyOf": [schema, {"type": "boolean"}]}
    if isinstance(field, schemas.Position):
        digits = STRING | {"pattern": f"^({schemas.POSITION})$"}
        number = {"type": "integer", "minimum": 0, "maximum": 999_999}
        return {"anyOf": [digits, number]}
    return {"anyOf": [schema, {"type": "null"}]} if field.allow_none else schema


def body_of(schema: Schema) -> Json:
    """Return the JSON Schema of a JSON object that *schema* loads."""
    names = schema.load_fields
    body: Json = {
        "type": "object",
        "properties": {name: described(field) for name, field in names.items()},
    }
    required = [name for name, field in names.items() if field.required]
    if required and not schema.partial:
        body["required"] = required
    if hasattr(schema, "check_not_empty"):
        body["not"] = {"propertyNames": {"not": {"enum": changing(names)}}}
    return body


def changing(names: Iterable[str]) -> list[str]:
    """Return the fields that make a body a change."""
    return [name for name in names if name != "lang_code"]


def form_of(body: Json) -> Json:
    """Return the JSON Schema of the form that stands for a JSON *body*."""
    properties, form = dict(body["properties"]), dict(body)
    names = changing(properties)
    if params := properties.pop("params", None):
        name = rf"^params\[{schemas.PARAM_NAME}\]$"
        form["patternProperties"] = {name: as_text(params["additionalProperties"])}
        form["additionalProperties"] = STRING
        if "not" in body:
            names[names.index("params")] = rf"params\[{schemas.PARAM_NAME}\]"
            changes = {"pattern": f"^({'|'.join(names)})$"}
            form["not"] = {"propertyNames": {"not": changes}}
    return form | {"properties": {n: as_text(field) for n, field in properties.items()}}


def as_text(field: Json) -> Json:
    """Return the JSON Schema of a *field* where everything is text."""
    text: Json = field.get("anyOf", [field])[0] | STRING
    return text


# The views of the API, and what their code loads.


def rules(app: Flask) -> list[Rule]:
    """Return the rules of one mount of the API, but for its fallback."""
    return [
        rule
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith(PREFIX)
        and rule.endpoint.count(".") == 2
        and not path_of(rule).startswith("/docs")  # the page, which is for people
    ]


def views(app: Flask) -> dict[str, Any]:
    """Return the views by the names of their operations in the document."""
    return {
        f"{method.lower()} {path_of(rule)}": app.view_functions[rule.endpoint]
        for rule in rules(app)
        for method in (rule.methods or set()) - {"HEAD"}
    }


def path_of(rule: Rule) -> str:
    return re.sub("<(.+?)>", r"{\1}", rule.rule.removeprefix(PREFIX))


def loaded_by(view: Any) -> list[Schema]:
    """Return the schemas that the code of *view* names."""
    names = inspect.getclosurevars(inspect.unwrap(view)).globals.values()
    return [schema for schema in names if isinstance(schema, Schema)]


def test_document_has_every_address_and_method(app: Flask, document: Json) -> None:
    assert operations(document).keys() == views(app).keys()


def test_operations_are_named_after_their_views(app: Flask, document: Json) -> None:
    named = {name: o["operationId"] for name, o in operations(document).items()}

    assert named == {
        name: f"{view.__module__.rpartition('.')[2]}_{view.__name__}"
        for name, view in views(app).items()
        if name != "get /openapi.json"
    } | {"get /openapi.json": "docs_document"}


def test_document_has_the_query_of_every_operation(app: Flask, document: Json) -> None:
    for name, view in views(app).items():
        listed = {
            p["name"]: (p.get("required", False), without_words(p["schema"]))
            for p in parameters(document, name)
            if p["in"] == "query"
        }
        with app.app_context():
            assert listed == {
                field_name: (field.required, described(field))
                for schema in loaded_by(view)
                if isinstance(schema, QUERIES)
                for field_name, field in schema.load_fields.items()
                if field_name != "params"
            } | filters(view)


def filters(view: Any) -> Json:
    """Return a parameter for each known param, if the code of *view* loads params."""
    return {
        f"params[{name}]": (False, described(field.value_field))
        for schema in loaded_by(view)
        if isinstance(schema, QUERIES)
        and isinstance(field := schema.load_fields.get("params"), fields.Dict)
        and field.value_field
        for name in schemas.KNOWN_PARAMS
    }


def test_document_has_the_body_of_every_operation(
    app: Flask, document: Json, components: Json
) -> None:
    loaded = {}
    for name, operation in operations(document).items():
        of_body = [
            schema
            for schema in loaded_by(views(app)[name])
            if not isinstance(schema, QUERIES)
        ]
        assert len(of_body) == ("requestBody" in operation)
        for schema in of_body:
            (name_,) = names_of(document, operation)
            loaded[name_] = schema

    assert loaded.keys() == {"Status", "Changes", "StoreTexts"}
    with app.app_context():
        for name, schema in loaded.items():
            body = body_of(schema)
            assert components[f"{name}Body"] == body
            assert components[f"{name}Form"] == form_of(body)
            assert components[f"{name}Multipart"] == form_of(body)


def names_of(document: Json, operation: Json) -> set[str]:
    """Return the name that the schemas of a body share, in all its media types."""
    bodies_ = document["components"]["requestBodies"]
    content = bodies_[operation["requestBody"]["$ref"].rpartition("/")[2]]["content"]
    assert content.keys() == set(bodies.DECODERS) - {""} == FORMS.keys()
    described = {media_type: content[media_type]["schema"] for media_type in content}
    encoded = {"contentMediaType": "application/x-www-form-urlencoded"}
    form = described["text/plain"]["contentSchema"]
    assert described["text/plain"] == STRING | encoded | {"contentSchema": form}
    described["text/plain"] = form
    return {
        described[media_type]["$ref"].rpartition("/")[2].removesuffix(suffix)
        for media_type, suffix in FORMS.items()
    }


@pytest.mark.parametrize("model", [OrderStatus, Storefront])
def test_document_has_the_fields_that_clients_read(
    components: Json, model: type[OrderStatus | Storefront]
) -> None:
    described = components[model.__name__]
    names = [field.name for field in fields_of(model)]

    assert list(described["properties"]) == described["required"] == names
    assert described["additionalProperties"] is False


def test_document_knows_what_an_id_is(document: Json, components: Json) -> None:
    id_ = STRING | {"pattern": f"^{ID.pattern}$"}

    assert components["Id"] == id_
    for name in operations(document):
        for parameter in parameters(document, name):
            if parameter["in"] == "path":
                assert without_words(parameter["schema"]) == id_


def is_valid(text: str, check: Callable[[str], object]) -> bool:
    try:
        check(text)
    except ValidationError:
        return False
    return True


def test_patterns_refuse_what_the_service_refuses() -> None:
    is_name, is_line = (
        partial(is_valid, check=validate.And(*checks))
        for checks in (schemas.DESCRIPTION, schemas.EMAIL_SUBJ)
    )
    surrogates = range(0xD800, 0xE000)  # in no body
    for character in map(chr, {*range(0x10000)} - {*surrogates}):
        for text in (character, f"a{character}b", f" {character}\n"):
            assert bool(re.search(NAME, text)) == is_name(text.strip()), repr(text)
            assert bool(re.search(ONE_LINE, text + "$")) == is_line(text), repr(text)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_responses_have_no_fields_that_are_not_listed(prefix: str) -> None:
    document = served(prefix)
    for operation in operations(document).values():
        if operation["operationId"] != "docs_document":
            for response in operation["responses"].values():
                for content in resolve(document, response).get("content", {}).values():
                    assert_closed(content["schema"])


def assert_closed(schema: Json) -> None:
    if schema["type"] == "array":
        assert_closed(schema["items"])
    elif schema["type"] == "object":
        others = schema["additionalProperties"]  # params, and errors
        assert others is False or others["type"] in {"string", "array"}
        for inner in schema.get("properties", {}).values():
            assert_closed(inner)
