"""The OpenAPI document, as its tests read it."""

from typing import Any

from order_statuses.app import create_app

from .contract import NEVER_OPENED

Json = dict[str, Any]

METHODS = {"get", "post", "put", "delete"}
# The settings that shape the document, and what they are by default.
SETTINGS: list[dict[str, str]] = [
    {},
    {
        "ORDER_STATUSES_REQUIRE_IF_MATCH": "yes",
        "ORDER_STATUSES_LANGUAGES": "de,fr",
        "ORDER_STATUSES_TYPES": "X",
        "ORDER_STATUSES_POSITION": "yes",
    },
]


def served(prefix: str = "/api/2.0", **settings: Any) -> Json:
    """Return the document that a service with these *settings* serves."""
    app = create_app(NEVER_OPENED | settings)
    document: Json = app.test_client().get(f"{prefix}/openapi.json").get_json()
    return document


def operations(document: Json) -> dict[str, Json]:
    """Return all operations in their order, under names such as ``get /stores``."""
    return {
        f"{method} {path}": item[method]
        for path, item in document["paths"].items()
        for method in item
        if method in METHODS
    }


def success(operation: Json) -> int:
    """Return the status code that the document gives first."""
    return int(next(iter(operation["responses"])))


def parameters(document: Json, name: str) -> list[Json]:
    """Return the parameters of the operation of that *name*, its path's included."""
    method, path = name.split()
    item = document["paths"][path]
    all_: list[Json] = resolve(
        document, [*item.get("parameters", []), *item[method].get("parameters", [])]
    )
    return list({(p["in"], p["name"]): p for p in all_}.values())


def resolve(document: Json, node: Any) -> Any:
    """Return *node* with what its references, at any depth, stand for."""
    if isinstance(node, list):
        return [resolve(document, inner) for inner in node]
    if not isinstance(node, dict):
        return node
    resolved = {name: resolve(document, inner) for name, inner in node.items()}
    if "$ref" not in node:
        return resolved
    target: Any = document
    for name in resolved.pop("$ref").split("/")[1:]:
        target = target[name]
    return resolve(document, target) | resolved
