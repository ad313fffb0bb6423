"""The contract, openapi.yaml, as JSON at ``/openapi.json``."""

import json
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flask import Response, current_app, request

from . import config
from .responses import Resource, as_json

Json = dict[str, Any]

FILE = Path(__file__).parent / "openapi.yaml"
ADDRESS = "/openapi.json"
CONDITIONAL = ("put", "delete")  # where a setting makes If-Match required


class Docs(Resource):
    """A blueprint of what everyone may read, since it holds no data."""


def create_docs_blueprint(list_form: str) -> Docs:
    """Return a new blueprint of the document of an API with lists in *list_form*.

    :raise ModuleNotFoundError: PyYAML is not installed
    """
    check_yaml()
    bp = Docs("docs", __name__)

    @bp.get(ADDRESS)
    def document() -> Response:
        """Read the document."""
        prefix = request.path.rstrip("/").removesuffix(ADDRESS)
        return as_json(describe(list_form, quote(request.root_path + prefix)))

    return bp


def is_docs_request() -> bool:
    """Say whether the request reads the document, which needs no credentials."""
    bp = current_app.blueprints[request.blueprint or ""]
    return isinstance(bp, Docs) and request.method in {"GET", "HEAD"}


def describe(list_form: str, server: str) -> Json:
    """Return the contract as the settings of the running application make it.

    *server* is the path where the API is mounted, its variables in braces.
    """
    contract: Json = json.loads(read())
    contract["servers"] = [{"url": server}]
    if names := re.findall("{(.+?)}", server):
        variables = {name: {"default": name} for name in names}
        contract["servers"][0]["variables"] = variables
    put_in_codes(contract["components"])
    put_in_list_form(contract["components"]["schemas"], list_form)
    put_in_condition(contract)
    return contract


@cache
def read() -> str:
    """Return what openapi.yaml holds, as JSON."""
    check_yaml()
    import yaml

    return json.dumps(yaml.safe_load(FILE.read_text(encoding="utf-8")))


def check_yaml() -> None:
    """Fail where the extra ``docs`` is not installed."""
    # Without the import, since most processes are never asked for the document.
    if find_spec("yaml") is None:
        how = "pip install 'order-statuses[docs]'"
        raise ModuleNotFoundError(f"The OpenAPI document needs PyYAML: {how}")


def put_in_codes(components: Json) -> None:
    """Name the configured languages and types, in the examples as well."""
    schemas, parameters = components["schemas"], components["parameters"]
    languages, types = config.languages(), config.types()
    defaults = {"lang_code": languages[0], "type": types[0]}
    schemas["Language"]["enum"] = languages
    schemas["Type"] |= {"enum": types, "default": types[0]}
    for parameter in parameters.values():
        if default := defaults.get(parameter["name"]):
            parameter["schema"]["default"] = default
    for schema in schemas.values():
        for example in schema.get("examples", ()):
            example |= {name: defaults[name] for name in example.keys() & defaults}


def put_in_list_form(schemas: Json, list_form: str) -> None:
    """Make lists arrays or envelopes."""
    for name in ("Statuses", "Stores"):
        envelope = schemas.pop(f"{name}Envelope")
        if list_form == "envelope":
            schemas[name] = envelope


def put_in_condition(contract: Json) -> None:
    """Say that If-Match is required on PUT and DELETE, or that nothing is a 428."""
    condition = contract["components"]["parameters"]["If-Match"]
    for path in contract["paths"].values():
        for operation in (path[method] for method in CONDITIONAL if method in path):
            if current_app.config["ORDER_STATUSES_REQUIRE_IF_MATCH"]:
                required = {"required": True, "example": "*"}
                operation["parameters"].append(condition | required)
            else:
                del operation["responses"]["428"]
