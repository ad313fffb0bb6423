"""The contract, openapi.yaml, as JSON at ``/openapi.json`` and a page at ``/docs``."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flask import Response, current_app, request, url_for
from werkzeug.routing import BuildError

from . import config
from .responses import Resource, as_json

Json = dict[str, Any]

FILE = Path(__file__).parent / "openapi.yaml"
ADDRESS = "/openapi.json"
CONDITIONAL = ("put", "delete")  # where a setting makes If-Match required

# Swagger UI's own page has an inline script, which the headers below forbid.
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Order statuses</title>
<link rel="icon" href="{files}favicon-32x32.png">
<link rel="stylesheet" href="{files}index.css">
<link rel="stylesheet" href="{files}swagger-ui.css">
<div id="page"></div>
<footer class="swagger-ui"><div class="wrapper"><p>{links}</p></div></footer>
<script src="{files}swagger-ui-bundle.js"></script>
<script src="{files}init.js" data-credentials="{credentials}"></script>
</html>
"""
LINK = 'At <a href="{page}">{prefix}</a>, lists come {form}.'
FORMS = {"array": "as plain arrays", "envelope": "in an envelope"}
SCRIPT = """const { src, dataset } = document.currentScript;
SwaggerUIBundle({
  dom_id: "#page",
  url: new URL("../openapi.json", src).href,
  requestInterceptor: (request) =>
    request.loadSpec ? request : Object.assign(request, dataset),
  deepLinking: true,
  defaultModelsExpandDepth: -1, // no list of schemas: each operation has its own
  validatorUrl: null, // which is another host
});
"""
# Of Swagger UI. What a system says of .js may be wrong.
FILES = {
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


class Docs(Resource):
    """A blueprint of what everyone may read, since it holds no data."""


def create_docs_blueprint(list_form: str) -> Docs:
    """Return a new blueprint of the document of an API with lists in *list_form*.

    :raise ModuleNotFoundError: the extra ``docs`` is not installed
    """
    folder_of("yaml")
    folder = folder_of("flask_swagger_ui") / "dist"
    bp = Docs("docs", __name__)
    bp.list_form = list_form

    @bp.get(ADDRESS)
    def document(**_: str) -> Response:
        """Read the document."""
        prefix = request.path.rstrip("/").removesuffix(ADDRESS)
        return as_json(describe(list_form, quote(request.root_path + prefix)))

    @bp.get("/docs")
    def page(**_: str) -> Response:
        """Show the document, to read and to try."""
        html = PAGE.format(
            # Relative, since a server in front may have another prefix.
            files="" if request.path.endswith("/") else "docs/",
            # Else browsers open a dialog of their own after a 401 of HTTP Basic.
            credentials="same-origin" if has_own_login() else "omit",
            links=" ".join(links_to_others()),
        )
        return for_everyone(html, "text/html")

    @bp.get("/docs/init.js")
    def script(**_: str) -> Response:
        """Start Swagger UI."""
        return for_everyone(SCRIPT, "text/javascript")

    def file(**_: str) -> Response:
        """Read a file of Swagger UI."""
        name = request.path.rstrip("/").rpartition("/")[2]
        return for_everyone((folder / name).read_bytes(), FILES[name])

    for name in FILES:
        bp.add_url_rule(f"/docs/{name}", view_func=file)
    return bp


def for_everyone(body: str | bytes, mimetype: str) -> Response:
    """Return what browsers may keep, and ask for again only if it has changed."""
    response = Response(body, headers=HEADERS, mimetype=mimetype)
    response.add_etag()
    response.make_conditional(request)
    return response


def has_own_login() -> bool:
    """Say whether callers may be known by cookies, for which the host knows how."""
    return current_app.config["ORDER_STATUSES_IDENTIFY"] is not None


def links_to_others() -> Iterator[str]:
    """Yield a sentence with a link for each other mount that has a page."""
    for name, bp in current_app.blueprints.items():
        if isinstance(bp, Docs) and name != request.blueprint:
            with suppress(BuildError):  # its prefix has other variables
                page = escape(url_for(f"{name}.page", **request.view_args or {}))
                prefix = page.removesuffix("/docs")
                yield LINK.format(page=page, prefix=prefix, form=FORMS[bp.list_form])


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
    folder_of("yaml")
    import yaml

    return json.dumps(yaml.safe_load(FILE.read_text(encoding="utf-8")))


def folder_of(package: str) -> Path:
    """Return the folder of a *package* of the extra ``docs``.

    :raise ModuleNotFoundError: it is not installed
    """
    # Without the import, since most processes are never asked for the document.
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        how = "pip install 'order-statuses[docs]'"
        raise ModuleNotFoundError(f"The OpenAPI document needs {package}: {how}")
    return Path(spec.origin).parent


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
