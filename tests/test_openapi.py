"""The OpenAPI document: what it says, who is served it, and that responses obey it."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml
from flask import Flask, Response
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from openapi_spec_validator import OpenAPIV31SpecValidator
from sqlalchemy.exc import OperationalError

from order_statuses import bodies, config, migrations, openapi, schemas
from order_statuses.api import create_blueprint
from order_statuses.app import create_app
from order_statuses.auth import Caller, identify_user

from .conftest import ADMINISTRATOR, BOUND, KEY, basic, client_of, service, settings_of
from .contract import NEVER_OPENED
from .servers import ROOT
from .test_documentation import NEW, PROCESSED

pytestmark = pytest.mark.one_database

Json = dict[str, Any]

PREFIXES = ["/api/2.0", "/api"]
DOCUMENT = "/api/2.0/openapi.json"
METHODS = {"get", "post", "put", "delete"}
# The settings that shape the document, and what they are by default.
SETTINGS: list[dict[str, str]] = [
    {},
    {
        "ORDER_STATUSES_REQUIRE_IF_MATCH": "yes",
        "ORDER_STATUSES_LANGUAGES": "de,en",
        "ORDER_STATUSES_TYPES": "X",
        "ORDER_STATUSES_POSITION": "yes",
    },
]


def served(prefix: str = "/api/2.0", **settings: Any) -> Json:
    """Return the document that a service with these *settings* serves."""
    app = create_app(NEVER_OPENED | settings)
    document: Json = app.test_client().get(f"{prefix}/openapi.json").get_json()
    return document


@pytest.fixture(scope="module")
def document() -> Json:
    return served()


def operations(document: Json) -> dict[str, Json]:
    """Return all operations in their order, under names such as ``get /stores``."""
    return {
        f"{method} {path}": item[method]
        for path, item in document["paths"].items()
        for method in item
        if method in METHODS
    }


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


def parameters(document: Json, name: str) -> list[Json]:
    """Return the parameters of the operation of that *name*, its path's included."""
    method, path = name.split()
    item = document["paths"][path]
    all_: list[Json] = resolve(
        document, [*item.get("parameters", []), *item[method].get("parameters", [])]
    )
    return list({(p["in"], p["name"]): p for p in all_}.values())


# What the document says.


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_document_is_valid_openapi(prefix: str, settings: dict[str, str]) -> None:
    OpenAPIV31SpecValidator(served(prefix, **settings)).validate()


def test_file_is_the_document_of_the_default_settings(document: Json) -> None:
    contract = yaml.safe_load(openapi.FILE.read_text(encoding="utf-8"))
    version = f"\nVersion {config.__version__} of the service.\n"
    contract["info"]["description"] += version
    for name in ("StatusesEnvelope", "StoresEnvelope", "Paging"):
        del contract["components"]["schemas"][name]
    del contract["components"]["responses"]["PreconditionRequired"]
    status = contract["components"]["schemas"]["OrderStatus"]
    status["required"].remove("position")
    for part in (status["properties"], *status["examples"]):
        del part["position"]
    for name, operation in operations(contract).items():
        if name.startswith(("put", "delete")):
            del operation["responses"]["428"]

    assert document == contract


def test_every_operation_says_what_it_does_and_who_may_call_it(document: Json) -> None:
    named = operations(document)

    assert document["security"] == [{"basic": []}]
    assert document["components"]["securitySchemes"]["basic"]["scheme"] == "basic"
    assert {n: o["security"] for n, o in named.items() if "security" in o} == {
        "get /openapi.json": []
    }
    assert all(0 < len(operation["summary"]) < 60 for operation in named.values())
    assert all(operation["description"] for operation in named.values())
    assert len({o["operationId"] for o in named.values()}) == len(named)
    assert {t for o in named.values() for t in o["tags"]} == {
        tag["name"] for tag in document["tags"]
    }


def test_every_parameter_says_what_happens_without_it(document: Json) -> None:
    for name in operations(document):
        for parameter in parameters(document, name):
            is_required = parameter.get("required", False)
            assert is_required or "Without it" in parameter["description"]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_every_component_is_used(prefix: str, settings: dict[str, str]) -> None:
    document = served(prefix, **settings)
    unused = {
        f"#/components/{kind}/{name}"
        for kind, named in document["components"].items()
        for name in named
    } - set(re.findall('"(#/components/.+?)"', json.dumps(document)))

    assert unused == {"#/components/securitySchemes/basic"}  # used by its name


def test_no_two_components_have_one_name_in_a_generated_client(document: Json) -> None:
    components = document["components"]
    bodies_ = {f"{name}Body" for name in components["requestBodies"]}

    assert not bodies_ & components["schemas"].keys()


def known_params(text: str) -> dict[str, tuple[str, str]]:
    """Return the values and the meaning in the table of the known params in *text*."""
    rows = re.findall(r"^\| `(\w+)` \| (\S.*?) \| (.+?) \|$", text, re.MULTILINE)
    return {name: (values, meaning) for name, values, meaning in rows}


def test_code_has_the_known_params_of_the_document(document: Json) -> None:
    patterns = {
        "`#rrggbb`": "#[0-9A-Fa-f]{6}",
        "`Y`, `N`": "[YN]",
        "`D`, `I`": "[DI]",
        "`D`, `I`, `C`, `O`": "[DICO]",
        "`A`–`Z`, `0`–`9`": "[A-Z0-9]",  # noqa: RUF001
    }
    known = known_params(document["info"]["description"])

    assert len(known) == 14
    assert list(schemas.KNOWN_PARAMS.items()) == [
        (name, patterns[values]) for name, (values, _) in known.items()
    ]


def test_every_description_of_a_known_param_is_that_of_the_table(
    document: Json,
) -> None:
    known = known_params(document["info"]["description"])
    described = {
        name: f"{meaning[0].upper()}{meaning[1:]}."
        for name, (_, meaning) in known.items()
    }
    in_json = document["components"]["schemas"]["Params"]["properties"]

    assert {name: in_json[name]["description"] for name in in_json} == described


def test_page_of_the_api_has_the_same_table() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    section = page.partition("### Params")[2].partition("## ")[0]
    contract = yaml.safe_load(openapi.FILE.read_text(encoding="utf-8"))

    assert known_params(section) == known_params(contract["info"]["description"])


def test_document_has_the_limits_of_a_body(document: Json) -> None:
    size = f"{bodies.MAX_BYTES // 2**20} MiB"
    refused = document["components"]["responses"]["RequestEntityTooLarge"]

    about = document["info"]["description"]
    assert f"at most {size} and {bodies.MAX_FIELDS:,} fields" in about
    assert f"larger than {size}" in refused["description"]


@pytest.mark.parametrize(
    ("prefix", "settings", "kind"),
    [
        ("/api/2.0", {}, "array"),
        ("/api/2.0", {"ORDER_STATUSES_LIST_FORM": "envelope"}, "object"),
        ("/api", {}, "object"),
    ],
)
def test_document_has_the_form_of_lists_at_its_address(
    prefix: str, settings: dict[str, str], kind: str
) -> None:
    document = served(prefix, **settings)

    for path in ("/statuses", "/stores", "/stores/{store_id}/statuses"):
        response = document["paths"][path]["get"]["responses"]["200"]
        content = resolve(document, response)["content"]
        assert content["application/json"]["schema"]["type"] == kind
    assert not [n for n in document["components"]["schemas"] if "Envelope" in n]


def test_document_has_the_configured_languages_and_types() -> None:
    document = served(ORDER_STATUSES_LANGUAGES="de,en", ORDER_STATUSES_TYPES="X")
    fields = resolve(document, document["components"]["schemas"]["StatusBody"])
    listed = {p["name"]: p["schema"] for p in parameters(document, "get /statuses")}

    properties = fields["properties"]
    assert properties["lang_code"]["enum"] == ["de", "en"]
    assert (properties["type"]["enum"], properties["type"]["default"]) == (["X"], "X")
    assert (listed["lang_code"]["default"], listed["type"]["default"]) == ("de", "X")
    assert fields["examples"][0]["lang_code"] == "de"
    new = document["components"]["requestBodies"]["NewStatus"]["content"]
    assert new["application/json"]["example"] == fields["examples"][0]
    changed = parameters(document, "put /statuses/{status_id}")
    assert {p["example"] for p in changed if p["name"] == "lang_code"} == {"de"}


@pytest.mark.parametrize(("setting", "required"), [("no", False), ("yes", True)])
def test_document_has_the_conditions_of_a_write(setting: str, required: bool) -> None:
    document = served(ORDER_STATUSES_REQUIRE_IF_MATCH=setting)
    conditions = {
        name: next(
            (p for p in parameters(document, name) if p["name"] == "If-Match"), None
        )
        for name in operations(document)
    }

    del conditions["get /openapi.json"]
    for name, condition in conditions.items():
        required_here = required and name.startswith(("put", "delete"))
        responses = operations(document)[name]["responses"]
        assert condition is not None
        assert condition.get("required", False) == required_here
        assert ("428" in responses, "412" in responses) == (required_here, True)


# Its examples.


def success(operation: Json) -> int:
    """Return the status code that the document gives first."""
    return int(next(iter(operation["responses"])))


def example_of(content: Json) -> Any:
    """Return the example that a page shows of a body in a media type."""
    return (
        content["example"] if "example" in content else content["schema"]["examples"][0]
    )


def value_of(parameter: Json) -> Any:
    """Return what a client that was made from the document sends at first."""
    schema = parameter["schema"]
    if "example" in parameter:
        return parameter["example"]
    return schema["examples"][0] if "examples" in schema else schema["default"]


def requests_of(document: Json, name: str) -> Iterator[Json]:
    """Yield what an operation's examples send, in each of its media types."""
    method, path = name.split()
    all_ = parameters(document, name)
    address = path.format(
        **{p["name"]: p["example"] for p in all_ if p["in"] == "path"}
    )
    headers = {p["name"]: value_of(p) for p in all_ if p["in"] == "header"}
    query = {p["name"]: value_of(p) for p in all_ if p["in"] == "query"}
    request = {"path": address, "method": method.upper(), "query_string": query}
    operation = resolve(document, operations(document)[name])
    if "requestBody" not in operation:
        yield request | {"headers": headers}
        return
    for media_type, content in operation["requestBody"]["content"].items():
        example = example_of(content)
        if media_type in {"application/json", "text/json"}:
            example = json.dumps(example)
        elif media_type == "application/x-www-form-urlencoded":
            example = urlencode(example)
        sent = headers | {"Content-Type": media_type}
        yield request | {"headers": sent, "data": example}


@pytest.mark.parametrize("settings", SETTINGS)
def test_examples_work_on_a_fresh_database_in_the_order_of_the_document(
    empty_database: str, settings: dict[str, str]
) -> None:
    identify = {"ORDER_STATUSES_IDENTIFY": lambda: Caller("administrator")}
    document = served(**settings)
    with service(empty_database, **settings, **identify) as app:
        with app.app_context():
            migrations.initialise()
        for name, operation in operations(document).items():
            for request in requests_of(document, name):
                path = f"/api/2.0{request.pop('path')}"
                response = app.test_client().open(path, **request)

                assert response.status_code == success(operation), (name, request)


def test_examples_of_a_list_find_a_default_status_or_say_that_none_has_the_param(
    client: FlaskClient, document: Json
) -> None:
    query = [p for p in parameters(document, "get /statuses") if p["in"] == "query"]
    of_none = {
        p["name"].removeprefix("params[").removesuffix("]"): value_of(p)
        for p in query
        if "no default status has" in p["description"]
    }
    finding = {p["name"] for p in query if found(client, {p["name"]: value_of(p)})}

    assert finding == {p["name"] for p in query} - {f"params[{n}]" for n in of_none}
    # One status has them all, once it has been given what no default status has.
    client.put("/api/2.0/statuses/1", json={"params": of_none})
    assert found(client, {p["name"]: value_of(p) for p in query}) == ["1"]


def found(client: FlaskClient, filters: Json) -> list[str]:
    """Return the ids of the statuses that *filters* find."""
    listed: Any = client.get("/api/2.0/statuses", query_string=filters).json
    return [status["status_id"] for status in listed]


def test_examples_are_those_of_the_documentation(document: Json) -> None:
    components = document["components"]
    shown = {
        name: s["examples"][0]
        for name, s in components["schemas"].items()
        if "examples" in s
    }
    as_text = [
        body["content"]["text/plain"]["example"]
        for body in components["requestBodies"].values()
    ]

    assert list(shown["OrderStatus"].items()) == list(json.loads(PROCESSED).items())
    assert shown["StatusBody"] == json.loads(NEW)
    assert as_text[1:] == ["description=Test", "email_subj=test&email_header=header"]


@pytest.mark.parametrize("settings", SETTINGS)
def test_examples_fit_their_schemas(settings: dict[str, str]) -> None:
    document = served(**settings)
    validator = Draft202012Validator(document)
    shown = [
        (example, schema)
        for schema in document["components"]["schemas"].values()
        for example in schema.get("examples", [])
    ]

    assert len(shown) == 13
    assert [e for pair in shown for e in validator.descend(*pair)] == []


ERRORS: dict[str, Json] = {
    "BadQuery": {"path": "/statuses?page=0"},
    "BadBody field": {"method": "POST", "data": "description=Packed&is_default=X"},
    "BadBody media type": {"method": "POST", "data": "{}"},
    "NotDeletable": {"method": "DELETE", "path": "/statuses/1"},
    "Unauthorized": {"headers": {"Authorization": ""}},
    "Forbidden another store": {
        "path": "/stores/2",
        "headers": {"Authorization": basic(BOUND, KEY + BOUND)},
    },
    "Forbidden another site": {
        "method": "POST",
        "headers": {"Sec-Fetch-Site": "cross-site"},
    },
    "NotFound": {"path": "/statuses/999"},
    "LengthRequired": {"method": "POST", "headers": {"Transfer-Encoding": "chunked"}},
    "PreconditionFailed": {"headers": {"If-Match": '"another"'}},
    "RequestEntityTooLarge": {"method": "POST", "data": b" " * (2**20 + 1)},
    "UnsupportedMediaType": {"method": "POST", "content_type": "application/xml"},
    "PreconditionRequired": {
        "method": "PUT",
        "path": "/statuses/2",
        "data": "description=Packed",
    },
    "InternalServerError": {},
    "ServiceUnavailable": {},
}


def ask_nobody() -> None:
    raise OperationalError("SELECT 1", {}, Exception("the server is away"))


ERROR_SETTINGS: dict[str, Json] = {
    "PreconditionRequired": {"ORDER_STATUSES_REQUIRE_IF_MATCH": True},
    # A mistake of a shop's: it must return a Caller.
    "InternalServerError": {"ORDER_STATUSES_IDENTIFY": object, "TESTING": False},
    # A shop's that asks a database which is away.
    "ServiceUnavailable": {"ORDER_STATUSES_IDENTIFY": ask_nobody},
}


def error_examples(document: Json) -> dict[str, Json]:
    """Return the example bodies of errors, named as in ERRORS."""
    found = {}
    for name, response in document["components"]["responses"].items():
        content = response.get("content", {}).get("application/json", {})
        if "example" in content:
            found[name] = content["example"]
        for example, described in content.get("examples", {}).items():
            found[f"{name} {example}"] = described["value"]
    return found


@pytest.fixture(scope="module")
def strict_document() -> Json:
    """The document that has every error."""
    return served(ORDER_STATUSES_REQUIRE_IF_MATCH="yes")


def test_every_error_has_an_example(strict_document: Json) -> None:
    error = {"$ref": "#/components/schemas/Error"}
    responses = strict_document["components"]["responses"]
    errors = {
        name
        for name, response in responses.items()
        if response.get("content", {}).get("application/json", {}).get("schema")
        == error
    }

    assert {name.split()[0] for name in ERRORS} == errors
    assert error_examples(strict_document).keys() == ERRORS.keys()


@pytest.mark.parametrize("name", ERRORS)
def test_example_of_an_error_is_what_the_service_says(
    app: Flask, strict_document: Json, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    sent = {"path": "/statuses", "method": "GET", **ERRORS[name]}
    path = f"/api/2.0{sent.pop('path')}"
    for setting, value in ERROR_SETTINGS.get(name, {}).items():
        place = app.config if setting == "TESTING" else settings_of(app)
        monkeypatch.setitem(place, setting, value)
    response = client_of(app, ADMINISTRATOR).open(path, **sent)

    assert response.json == error_examples(strict_document)[name]


# Who is served it.


@pytest.mark.parametrize("prefix", PREFIXES)
def test_document_is_for_everyone(
    client: FlaskClient, stranger: FlaskClient, prefix: str
) -> None:
    document = served(prefix)
    for address in (f"{prefix}/openapi.json", f"{prefix}/openapi.json/"):
        for caller in (client, stranger):
            read = caller.get(address)

            assert (read.status_code, read.json) == (200, document)
            assert caller.head(address).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_document_is_for_everyone_to_read_and_nothing_else(
    client: FlaskClient, stranger: FlaskClient, method: str
) -> None:
    refused = client.open(DOCUMENT, method=method)

    assert stranger.open(DOCUMENT, method=method).status_code == 401
    assert refused.status_code == (204 if method == "OPTIONS" else 405)
    assert refused.headers["Allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("address", ["/openapi.json/x", "/openapi", "/openapi.yaml"])
def test_nothing_beside_the_document_is_for_everyone(
    stranger: FlaskClient, address: str
) -> None:
    assert stranger.get(f"/api/2.0{address}").status_code == 401


def test_service_may_serve_no_document() -> None:
    nobody = {"ORDER_STATUSES_DOCS": "no", "ORDER_STATUSES_IDENTIFY": lambda: None}
    client = create_app(NEVER_OPENED | nobody).test_client()

    assert client.get(DOCUMENT).status_code == 401


NOBODY: Json = {"ORDER_STATUSES_IDENTIFY": lambda: None}


def shop_with(prefix: str, **options: Any) -> Flask:
    """Make a shop that knows no callers and mounts the API at *prefix*."""
    shop = Flask("shop")
    shop.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
    SQLAlchemy(shop)
    shop.config.update(NOBODY)
    shop.register_blueprint(create_blueprint(**options), url_prefix=prefix)
    return shop


def test_shop_serves_the_document_if_it_says_so() -> None:
    without = shop_with("/api").test_client()
    with_ = shop_with("/api", docs=True, list_form="envelope").test_client()

    assert without.get("/api/openapi.json").status_code == 401
    assert with_.get("/api/openapi.json").json == served("/api", **NOBODY)
    assert with_.post("/api/openapi.json").status_code == 401
    assert with_.get("/api/statuses").status_code == 401


@pytest.mark.parametrize(
    ("prefix", "root", "path"),
    [
        ("/api", "", "/api"),
        ("/api", "/shop", "/shop/api"),
        ("/<tenant>/api", "", "/caf%C3%A9/api"),
        ("/<tenant>/api", "", "/%7Bx%7D/api"),
    ],
)
def test_server_of_the_document_is_the_path_that_was_asked(
    prefix: str, root: str, path: str
) -> None:
    client = shop_with(prefix, docs=True).test_client()
    address = f"{path.removeprefix(root)}/openapi.json"
    read = client.get(address, environ_overrides={"SCRIPT_NAME": root})

    assert read.json is not None
    assert read.json["servers"] == [{"url": path}]


# The command.


def printed(app: Flask) -> Any:
    return app.test_cli_runner().invoke(args=["order-statuses", "openapi"])


@pytest.mark.parametrize("settings", [*SETTINGS, {"ORDER_STATUSES_DOCS": "no"}])
def test_command_prints_the_document(settings: dict[str, str]) -> None:
    printed_ = printed(create_app(NEVER_OPENED | settings))

    assert json.loads(printed_.stdout) == served(
        **settings | {"ORDER_STATUSES_DOCS": "yes"}
    )


def test_command_prints_the_document_of_a_shop() -> None:
    shop = shop_with("/<string:tenant>/api/", list_form="envelope")
    document = json.loads(printed(shop).stdout)

    variables = {"tenant": {"default": "tenant"}}
    servers = [{"url": "/{tenant}/api", "variables": variables}]
    assert document == served("/api", **NOBODY) | {"servers": servers}
    OpenAPIV31SpecValidator(document).validate()


BEARER = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
API_KEY = {"type": "apiKey", "name": "X-Api-Key", "in": "header"}
FLOW = {"tokenUrl": "https://shop.example/token", "scopes": {}}
OAUTH2 = {"type": "oauth2", "flows": {"clientCredentials": FLOW}}


@pytest.mark.parametrize("scheme", [BEARER, API_KEY, OAUTH2])
def test_document_has_the_security_scheme_of_the_shop(scheme: Json) -> None:
    document = served(**NOBODY, ORDER_STATUSES_SECURITY_SCHEME=scheme)

    assert document["components"]["securitySchemes"] == {"shop": scheme}
    assert document["security"] == [{"shop": []}]
    OpenAPIV31SpecValidator(document).validate()


def test_document_of_a_login_without_a_scheme_names_none() -> None:
    document = served(**NOBODY)

    assert "securitySchemes" not in document["components"]
    assert "security" not in document
    OpenAPIV31SpecValidator(document).validate()


def test_login_of_api_users_is_that_of_the_service(document: Json) -> None:
    assert served(ORDER_STATUSES_IDENTIFY=identify_user) == document


@pytest.mark.parametrize(
    ("scheme", "challenge"),
    [
        (None, None),
        (API_KEY, None),
        (BEARER, 'Bearer realm="The shop\'s own login"'),
        ({"type": "http", "scheme": "Basic"}, 'Basic realm="The shop\'s own login"'),
    ],
)
def test_stranger_is_told_the_scheme_of_the_shop_or_nothing(
    scheme: Json | None, challenge: str | None
) -> None:
    settings = NOBODY | {"ORDER_STATUSES_SECURITY_SCHEME": scheme}
    refused = create_app(NEVER_OPENED | settings).test_client().get("/api/2.0/statuses")

    assert refused.status_code == 401
    assert refused.headers.get("WWW-Authenticate") == challenge
    documented = served(**settings)["components"]["responses"]["Unauthorized"]
    assert refused.json == documented["content"]["application/json"]["example"]


def test_document_without_pyyaml_is_an_error_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    openapi.read.cache_clear()

    refused = printed(shop_with("/api"))

    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr == (
        "Error: The OpenAPI document needs yaml: "
        "pip install 'path/to/this/folder[docs]'\n"
    )


@pytest.mark.parametrize("package", ["yaml", "flask_swagger_ui"])
def test_document_and_page_need_the_extra_docs(
    monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(ModuleNotFoundError, match=rf"{package}: .*folder\[docs\]"):
        create_blueprint(docs=True)
    assert create_blueprint()


def test_nothing_of_the_document_is_loaded_before_it_is_asked_for() -> None:
    program = (
        "import sys; from order_statuses.app import create_app; "
        f"app = create_app({NEVER_OPENED}); "
        "assert 'yaml' not in sys.modules; "
        "app.test_client().get('/api/openapi.json'); assert 'yaml' in sys.modules; "
        "assert 'flask_swagger_ui' not in sys.modules"
    )

    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


# That responses obey it.


def undocumented_header(response: Response) -> Response:
    response.headers["X-Undocumented"] = "1"
    return response


def undocumented_status_code(response: Response) -> Response:
    response.status_code = 418
    return response


def undocumented_field(response: Response) -> Response:
    response.set_data(response.get_data().replace(b'"type"', b'"kind"'))
    return response


def missing_header(response: Response) -> Response:
    del response.headers["X-Total-Count"]
    return response


def missing_method(response: Response) -> Response:
    response.headers["Allow"] = response.headers["Allow"].replace(", POST", "")
    return response


@pytest.mark.parametrize(
    ("method", "change"),
    [
        ("GET", undocumented_header),
        ("GET", undocumented_status_code),
        ("GET", undocumented_field),
        ("GET", missing_header),
        ("HEAD", missing_header),
        ("OPTIONS", undocumented_header),
        ("OPTIONS", undocumented_status_code),
        ("OPTIONS", missing_method),
        ("PATCH", missing_method),
    ],
)
def test_a_response_against_the_document_fails_its_test(
    app: Flask, monkeypatch: pytest.MonkeyPatch, method: str, change: Any
) -> None:
    monkeypatch.setitem(app.after_request_funcs, None, [change])

    with pytest.raises(AssertionError):
        client_of(app, ADMINISTRATOR).open("/api/2.0/statuses", method=method)
