"""The contract, openapi.yaml, as JSON at ``/openapi.json`` and a page at ``/docs``."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flask import Response, current_app, request, url_for
from jinja2 import Environment, FileSystemLoader

from . import auth, config
from .responses import ApiBlueprint, as_error, as_json, list_form

Json = dict[str, Any]

FILE = Path(__file__).with_name("openapi.yaml")
ADDRESS = "/openapi.json"
PAGE = Path(__file__).with_name("page")
# Not Flask's, which renders with the templates and the variables of a shop.
TEMPLATES = Environment(loader=FileSystemLoader(PAGE), autoescape=True)
# The files of the page, and their types, which a system's own table may have wrong.
FILES = {
    "init.js": "text/javascript",
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "index.css": "text/css",
    "favicon-32x32.png": "image/png",
}
HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

# Public, since it serves no data.
bp = ApiBlueprint("docs", __name__)


@bp.get(ADDRESS)
def document(**_: str) -> Response:
    """Return the OpenAPI document."""
    prefix = request.path.rstrip("/").removesuffix(ADDRESS)
    return as_json(describe(list_form(), quote(request.root_path + prefix)))


@bp.get("/docs")
def page(**_: str) -> Response:
    """Return the page that shows the document."""
    html = TEMPLATES.get_template("index.html").render(
        # Relative, since a server in front may have another prefix.
        folder="" if request.path.endswith("/") else "docs/",
        # A shop may know its callers by cookies. After a 401 of HTTP Basic to a request
        # with credentials, browsers open a dialog of their own.
        credentials="same-origin" if auth.has_own_login() else "omit",
        others=other_pages(),
    )
    return for_everyone(html, "text/html")


def page_file(**_: str) -> Response:
    """Return a file of the page."""
    name = Path(request.path).name
    folder = PAGE if name == "init.js" else files("flask_swagger_ui") / "dist"
    return for_everyone((folder / name).read_bytes(), FILES[name])


for file_name in FILES:
    bp.add_url_rule(f"/docs/{file_name}", view_func=page_file)


def for_everyone(body: str | bytes, mimetype: str) -> Response:
    """Return a response with an ETag, which browsers revalidate."""
    response = Response(body, headers=HEADERS, mimetype=mimetype)
    response.add_etag()
    response.make_conditional(request)
    return response


def other_pages() -> Iterator[tuple[str, str]]:
    """Yield the address of each other mount's page, and the form of its lists."""
    for name, mount in current_app.blueprints.items():
        has_page = current_app.blueprints.get(f"{name}.{bp.name}") is bp
        if (
            isinstance(mount, ApiBlueprint)
            and has_page
            and name != request.blueprints[1]
        ):
            # Its prefix may have other variables, or converters that raise anything.
            with suppress(Exception):
                url = url_for(f"{name}.docs.page", **request.view_args or {})
                # Without the variables that the other prefix lacks.
                yield url.partition("?")[0], mount.list_form


def require(*packages: str) -> None:
    """Check that *packages* of the extra ``docs`` are installed.

    :raise ModuleNotFoundError: with the one that is not
    """
    # Without the import, since most processes are never asked for the document.
    for package in packages:
        if find_spec(package) is None:
            how = "pip install 'path/to/this/folder[docs]'"
            raise ModuleNotFoundError(f"The OpenAPI document needs {package}: {how}")


def describe(list_form: str, server: str) -> Json:
    """Return the contract, adapted to the settings of the running application.

    *server* is the path where the API is mounted, its variables in braces.
    """
    contract: Json = json.loads(read())
    contract["info"]["description"] += (
        f"\nVersion {config.__version__} of the service.\n"
    )
    contract["servers"] = [{"url": server}]
    if names := re.findall("{(.+?)}", server):
        variables = {name: {"default": name} for name in names}
        contract["servers"][0]["variables"] = variables
    put_in_codes(contract["components"])
    put_in_position(contract["components"]["schemas"]["OrderStatus"])
    put_in_list_form(contract["components"]["schemas"], list_form)
    put_in_condition(contract)
    put_in_login(contract)
    return contract


@cache
def read() -> str:
    """Return what openapi.yaml holds, as JSON."""
    require("yaml")
    import yaml

    return json.dumps(yaml.safe_load(FILE.read_text(encoding="utf-8")))


def put_in_codes(components: Json) -> None:
    """Insert the configured languages and types, in the examples as well."""
    schemas, parameters = components["schemas"], components["parameters"]
    languages, types = config.languages(), config.types()
    defaults = {"lang_code": languages[0], "type": types[0]}
    schemas["Language"]["enum"] = languages
    schemas["Type"] |= {"enum": types, "default": types[0]}
    for parameter in parameters.values():
        if default := defaults.get(parameter["name"]):
            parameter["schema"]["default"] = default
            if "example" in parameter:
                parameter["example"] = default
    for example in examples(components):
        example |= {name: defaults[name] for name in example.keys() & defaults}


def examples(components: Json) -> Iterator[Json]:
    """Yield the examples that are objects: of schemas, and of request bodies."""
    for schema in components["schemas"].values():
        yield from schema.get("examples", ())
    for body in components["requestBodies"].values():
        for content in body["content"].values():
            if isinstance(example := content.get("example"), dict):
                yield example


def put_in_position(status: Json) -> None:
    """Remove the position from responses, unless a setting shows it."""
    if not config.shows_position():
        status["required"].remove("position")
        for part in (status["properties"], *status["examples"]):
            del part["position"]


def put_in_list_form(schemas: Json, list_form: str) -> None:
    """Make lists arrays or envelopes."""
    for name in ("Statuses", "Stores"):
        envelope = schemas.pop(f"{name}Envelope")
        if list_form == "envelope":
            schemas[name] = envelope
    if list_form != "envelope":
        del schemas["Paging"]


def put_in_condition(contract: Json) -> None:
    """Require If-Match on PUT and DELETE, or remove the 428 responses."""
    is_required = config.setting("ORDER_STATUSES_REQUIRE_IF_MATCH")
    required = {"required": True, "example": "*"}
    condition = contract["components"]["parameters"]["If-Match"] | required
    for path in contract["paths"].values():
        for method in path.keys() & {"put", "delete"}:
            if is_required:
                path[method]["parameters"].append(condition)
            else:
                del path[method]["responses"]["428"]
    if not is_required:
        del contract["components"]["responses"]["PreconditionRequired"]


def put_in_login(contract: Json) -> None:
    """Name the shop's security scheme, or none if it has its own login, and its 401."""
    components = contract["components"]
    scheme = config.setting("ORDER_STATUSES_SECURITY_SCHEME")
    if scheme or auth.has_own_login():
        del components["securitySchemes"], contract["security"]
    if scheme:
        components["securitySchemes"] = {"shop": scheme}
        contract["security"] = [{"shop": []}]
    if auth.has_own_login():
        refused = components["responses"]["Unauthorized"]
        refused["description"] = (
            "The shop's login does not know who is calling. If it is an error handler "
            "of the shop that responds, the body is its own."
        )
        content = refused["content"]["application/json"]
        content["schema"] = {"anyOf": [content["schema"], {"type": "object"}]}
        content["example"] = as_error(auth.unknown_to_shop()).json
        components["headers"]["WWW-Authenticate"]["required"] = False
