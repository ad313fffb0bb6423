"""What fields are and mean, as JSON Schema, for the OpenAPI document.

Read off the schemas and models; only the meanings, in words, are written here.
"""

import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import fields as fields_of
from typing import Any

from marshmallow import Schema, fields

from . import config, models, schemas, stock, writing
from .reading import OrderStatus, Storefront

Json = dict[str, Any]

MEANINGS = {
    "status_id": "The status's number, which never changes.",
    "status": "The letter that orders carry; assigned, never changed.",
    "type": "What the status is of: `O` are orders, `G` gift certificates.",
    "is_default": "`Y` is built in and cannot be deleted.",
    "description": "The status's name.",
    "email_subj": "How the subject of the e-mail about this status ends.",
    "email_header": "The HTML at the head of the e-mail about this status.",
    "lang_code": "The language of the texts.",
    "params": "What the status does; keys that are not listed here are kept as well.",
    "company_id": "The storefront's number.",
    "company": "The storefront's name.",
    "page": "Which page, from 1; one past the end is empty.",
    "items_per_page": "How many to a page; 0 are all.",
    # params
    "color": "The label's colour.",
    "notify": "The customer is mailed when an order gets this status.",
    "notify_department": "The order department is mailed.",
    "notify_vendor": "The vendor is mailed.",
    "notify_supplier": "The supplier is mailed.",
    "inventory": "The stock is decreased in this status (`D`) or increased (`I`).",
    "remove_cc_info": "Stored card data is wiped.",
    "repay": "The customer may pay again.",
    "allow_return": "The customer may ask for a return.",
    "payment_received": "The order counts as paid.",
    "calculate_for_payouts": "The order is charged to the vendor's account.",
    "grant_reward_points": "Reward points are granted.",
    "appearance_type": "The document: default, invoice, credit memo or order.",
    "gift_cert_status": "The status given to the order's gift certificates.",
}

STRING: Json = {"type": "string"}
INTEGER: Json = {"type": "integer"}
ID: Json = STRING | {"pattern": f"^{models.ID.pattern}$"}
# What an answer's fields are, where there is more to say than "a string".
READ: dict[str, Json] = {
    "status_id": ID,
    "company_id": ID,
    "status": STRING | {"pattern": "^[A-Z0-9]$"},
    "is_default": STRING | {"enum": ["Y", "N"]},
    "params": {"type": "object", "additionalProperties": STRING},
}
ONE_LINE = r"^[^\n\v\f\r\x1c-\x1e\x85\u2028\u2029]*$"
NOT_BLANK = r"[^\s\x1c-\x1f\x85]"


def closed(properties: Json, optional: Json | None = None) -> Json:
    """Return the JSON Schema of an object with these *properties* and no others."""
    return {
        "type": "object",
        "properties": properties | (optional or {}),
        "required": list(properties),
        "additionalProperties": False,
    }


def error() -> Json:
    """Return the JSON Schema of every error's body."""
    problems = {
        "type": "object",
        "description": "What is wrong with each field.",
        "additionalProperties": {"type": "array", "items": STRING},
    }
    return closed({"message": STRING, "status": INTEGER}, {"errors": problems})


def read(model: type[OrderStatus | Storefront]) -> Json:
    """Return the JSON Schema of what clients read of a *model*."""
    names = [field.name for field in fields_of(model)]
    described = closed(
        {n: READ.get(n, STRING) | {"description": MEANINGS[n]} for n in names}
    )
    example = stock_example()
    return described | {"examples": [{name: example[name] for name in names}]}


def stock_example() -> dict[str, Any]:
    """Return the fields of the stock's first status and store, as they are read."""
    data = stock.read()
    status, store = data["statuses"][0], data["stores"][0]
    default = config.languages()[0]
    return {
        **status,
        **stock.first_of(status["texts"], default, stock.ENGLISH),
        "status_id": str(status["status_id"]),
        "type": config.types()[0],
        "lang_code": default,
        "company_id": str(store["store_id"]),
        "company": store["name"],
    }


def sent(schema: Schema, described: Json) -> Json:
    """Complete what apispec has *described* of what clients send to be loaded.

    The example leaves *is_default* out: what is built in cannot be deleted again.
    """
    example, names = stock_example(), described["properties"]
    about: Json = {
        "description": inspect.getdoc(type(schema)),
        "examples": [{name: example[name] for name in names if name != "is_default"}],
    }
    if hasattr(schema, "check_not_empty"):
        about["not"] = nothing_of(names)
    return described | about


def nothing_of(names: Iterable[str]) -> Json:
    """Return the JSON Schema of an object that changes nothing.

    What changes something is its opposite: generators of clients stumble over the
    plainer anyOf of what is required.
    """
    that_change = [name for name in names if name != "lang_code"]
    return {"propertyNames": {"not": {"enum": that_change}}}


def describe(converter: Any, field: fields.Field[Any], ret: Json) -> Json:
    """Return what apispec cannot read off a *field*: its meaning and our checks."""
    described = ret | {"description": MEANINGS[str(field.name)]}
    if callable(field.load_default):
        described["default"] = field.load_default()
    for check in (*field.pre_load, *field.validators):
        described |= CHECKS.get(check, dict)()
    if schemas.yes_no in field.pre_load:
        word = STRING | {"enum": described.pop("enum")}
        described["anyOf"] = [word, {"type": "boolean"}]
        del described["type"]
    ret.clear()
    return described


# Our own checks of fields, as JSON Schema; some depend on the settings.
CHECKS: dict[Any, Callable[[], Json]] = {
    schemas.known_language: lambda: {"enum": list(config.languages())},
    schemas.known_type: lambda: {"enum": list(config.types())},
    schemas.trim: lambda: {"pattern": NOT_BLANK},
    schemas.one_line: lambda: {"pattern": ONE_LINE},
    schemas.digits: lambda: {"maximum": 10**18 - 1},
    schemas.check_params: lambda: {
        "properties": {name: param(name) for name in schemas.KNOWN_PARAMS},
        "propertyNames": {"pattern": f"^{schemas.PARAM_NAME}$"},
        "additionalProperties": {
            "type": ["string", "number", "boolean", "null"],
            "maxLength": schemas.PARAM_LENGTH,
        },
        "maxProperties": writing.MAX_PARAMS,
    },
}


def param(name: str) -> Json:
    """Return the JSON Schema of a known param, and of the scalars that stand for it.

    >>> param("inventory")["type"], param("gift_cert_status")["type"]
    (['string', 'null'], ['string', 'null', 'boolean', 'integer'])
    """
    pattern = schemas.KNOWN_PARAMS[name]
    described: Json = {"description": MEANINGS[name], "pattern": f"^{pattern}$"}
    types = ["string", "null"]
    if all(re.fullmatch(pattern, word) for word in "YN"):
        types.append("boolean")
    if all(re.fullmatch(pattern, digit) for digit in "0123456789"):
        types.append("integer")
        described |= {"minimum": 0, "maximum": 9}
    return {"type": types, **described}


def as_form(sent: Json) -> Json:
    """Return the JSON Schema of the form that stands for the JSON object *sent*."""
    properties, form = dict(sent["properties"]), dict(sent)
    if params := properties.get("params"):
        properties["params"] = params["properties"]
        other = as_text(params["additionalProperties"])
        form["patternProperties"] = {rf"^params\[{schemas.PARAM_NAME}\]$": other}
    form["properties"] = {n: as_text(field) for n, field in flat(properties).items()}
    form["examples"] = [flat(example) for example in sent["examples"]]
    if "not" in sent:
        form["not"] = nothing_of(form["properties"])
    return form


def flat(body: Json) -> Json:
    """Return the fields of *body* under the names that they have in a form.

    >>> flat({"type": "O", "params": {"color": "#ffffff"}})
    {'type': 'O', 'params[color]': '#ffffff'}
    """
    params = {f"params[{name}]": p for name, p in body.get("params", {}).items()}
    return {name: body[name] for name in body if name != "params"} | params


def as_text(field: Json) -> Json:
    """Return the JSON Schema of a *field* where it can only be sent as text."""
    if "anyOf" in field:
        field = field | field["anyOf"][0]
    beside = {"anyOf", "minimum", "maximum"}
    return {name: field[name] for name in field if name not in beside} | STRING
