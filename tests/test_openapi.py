"""The OpenAPI document: what it says, who is served it, and that answers obey it."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest
from flask import Flask, Response
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from openapi_spec_validator import OpenAPIV31SpecValidator

from order_statuses.app import create_app
from order_statuses.schemas import KNOWN_PARAMS

from .conftest import ADMINISTRATOR, client_of, service
from .test_documentation import PROCESSED

OPERATIONS = {
    "/statuses": "get head options post",
    "/statuses/{status_id}": "delete get head options put",
    "/stores": "get head options",
    "/stores/{store_id}": "get head options",
    "/stores/{store_id}/statuses": "get head options",
    "/stores/{store_id}/statuses/{status_id}": "get head options put",
    "/openapi.json": "get head options",
}
MEDIA_TYPES = {
    "application/json",
    "text/json",
    "application/x-www-form-urlencoded",
    "text/plain",
    "multipart/form-data",
}


def public_app(**settings: Any) -> Flask:
    """Make a service whose document is for everyone."""
    public = {
        "DATABASE_URL": "sqlite:////nowhere/x",
        "ORDER_STATUSES_PUBLIC_DOCUMENT": "yes",
    }
    return create_app(public | settings)


def served(prefix: str = "/api/2.0", **settings: Any) -> dict[str, Any]:
    """Return the document that a service with these *settings* serves."""
    answer = public_app(**settings).test_client().get(f"{prefix}/openapi.json")
    document: dict[str, Any] = answer.get_json()
    return document


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return served()


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return all operations, under names such as ``get /stores``."""
    return {
        f"{method} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method != "parameters"
    }


@pytest.mark.parametrize("prefix", ["/api/2.0", "/api"])
def test_document_is_valid_openapi(prefix: str) -> None:
    OpenAPIV31SpecValidator(served(prefix)).validate()


def test_document_has_every_address_and_method(document: dict[str, Any]) -> None:
    methods = {
        path: " ".join(sorted(item.keys() - {"parameters"}))
        for path, item in document["paths"].items()
    }

    assert methods == OPERATIONS


def test_document_has_the_body_of_every_operation_that_takes_one(
    document: dict[str, Any],
) -> None:
    bodies = {
        name: operation["requestBody"]["content"]
        for name, operation in operations(document).items()
        if "requestBody" in operation
    }
    schemas = {
        name: content["application/json"]["schema"]["$ref"].rpartition("/")[2]
        for name, content in bodies.items()
    }

    assert all(content.keys() == MEDIA_TYPES for content in bodies.values())
    assert schemas == {
        "post /statuses": "StatusBody",
        "put /statuses/{status_id}": "ChangesBody",
        "put /stores/{store_id}/statuses/{status_id}": "StoreTextsBody",
    }


def test_document_has_the_query_of_every_operation(document: dict[str, Any]) -> None:
    queries = {
        name: sorted(query)
        for name, operation in operations(document).items()
        if (query := [p["name"] for p in operation["parameters"] if "name" in p])
        and not name.startswith("head ")
    }

    pages = ["items_per_page", "page"]
    assert queries == {
        "get /statuses": [*pages[:1], "lang_code", *pages[1:], "type"],
        "get /statuses/{status_id}": ["lang_code"],
        "put /statuses/{status_id}": ["lang_code"],
        "get /stores": pages,
        "get /stores/{store_id}/statuses": [
            *pages[:1],
            "lang_code",
            *pages[1:],
            "type",
        ],
        "get /stores/{store_id}/statuses/{status_id}": ["lang_code"],
        "put /stores/{store_id}/statuses/{status_id}": ["lang_code"],
    }


def test_every_operation_says_what_it_does_and_who_may_call_it(
    document: dict[str, Any],
) -> None:
    named = operations(document)

    assert document["security"] == [{"basic": []}]
    assert document["components"]["securitySchemes"]["basic"]["scheme"] == "basic"
    assert all(operation["summary"] for operation in named.values())
    assert len({o["operationId"] for o in named.values()}) == len(named)


def test_document_has_the_known_params(document: dict[str, Any]) -> None:
    body = document["components"]["schemas"]["StatusBody"]
    form = document["components"]["schemas"]["StatusForm"]
    params = body["properties"]["params"]["properties"]

    assert params.keys() == KNOWN_PARAMS.keys()
    assert {f"params[{name}]" for name in params} < form["properties"].keys()
    assert params["color"]["pattern"] == "^#[0-9A-Fa-f]{6}$"


def test_document_knows_what_a_line_break_and_white_space_are(
    document: dict[str, Any],
) -> None:
    fields = document["components"]["schemas"]["StatusBody"]["properties"]
    subj, description = fields["email_subj"], fields["description"]

    for character in map(chr, range(0x10000)):
        within = f"a{character}b"
        is_line = len(within.splitlines()) == 1
        assert bool(re.search(subj["pattern"], within)) == is_line
        is_text = character.strip() != ""
        assert bool(re.search(description["pattern"], character)) == is_text


def test_document_has_the_configured_languages_and_types() -> None:
    document = served(ORDER_STATUSES_LANGUAGES="de,en", ORDER_STATUSES_TYPES="X")
    fields = document["components"]["schemas"]["StatusBody"]["properties"]

    assert fields["lang_code"]["enum"] == ["de", "en"]
    assert (fields["type"]["enum"], fields["type"]["default"]) == (["X"], "X")


def test_examples_are_the_stock_and_fit_their_schemas(document: dict[str, Any]) -> None:
    validator = Draft202012Validator(document)
    schemas = document["components"]["schemas"].values()
    shown = [(example, s) for s in schemas for example in s.get("examples", [])]

    assert len(shown) == len(schemas) - 1  # the error
    assert [e for shown_ in shown for e in validator.descend(*shown_)] == []
    read = document["components"]["schemas"]["OrderStatus"]["examples"][0]
    assert list(read.items()) == list(json.loads(PROCESSED).items())


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
        answer = document["paths"][path]["get"]["responses"]["200"]
        assert answer["content"]["application/json"]["schema"]["type"] == kind
        assert answer["headers"].keys() >= {"X-Total-Count", "Link", "ETag"}


@pytest.mark.parametrize("prefix", ["/api/2.0", "/api"])
def test_document_is_for_those_who_may_call_the_api(
    client: FlaskClient, bound_client: FlaskClient, stranger: FlaskClient, prefix: str
) -> None:
    address = f"{prefix}/openapi.json"

    assert client.get(address).json == bound_client.get(address).json
    assert client.get(address).json["openapi"] == "3.1.0"  # type: ignore[index]
    assert stranger.get(address).status_code == 401
    assert client.get(address, headers={"Accept": "text/html"}).status_code == 406


def test_document_is_public_where_the_setting_says_so() -> None:
    answer = public_app().test_client().get("/api/2.0/openapi.json")

    assert answer.status_code == 200
    assert answer.json is not None
    operation = operations(answer.json)["get /openapi.json"]
    assert operation["security"] == []
    assert operation["responses"].keys() == {"200"}


@pytest.mark.parametrize(("setting", "required"), [("no", False), ("yes", True)])
def test_document_has_the_conditions_of_a_write(setting: str, required: bool) -> None:
    named = operations(served(ORDER_STATUSES_REQUIRE_IF_MATCH=setting))
    condition = {"$ref": "#/components/parameters/If-Match"}

    for name in ("put /statuses/{status_id}", "delete /statuses/{status_id}"):
        assert condition in named[name]["parameters"]
        assert "412" in named[name]["responses"]
        assert ("428" in named[name]["responses"]) == required
    assert condition not in named["post /statuses"]["parameters"]


@pytest.mark.parametrize(("root", "url"), [("", "/api"), ("/shop", "/shop/api")])
def test_server_of_the_document_is_a_path(
    client: FlaskClient, root: str, url: str
) -> None:
    answer = client.get("/api/openapi.json", environ_overrides={"SCRIPT_NAME": root})

    assert answer.json is not None
    assert answer.json["servers"] == [{"url": url}]


def test_document_is_built_once_and_only_where_it_is_asked_for() -> None:
    app = public_app()
    app.test_client().get("/api/openapi.json")
    first = app.extensions["order_statuses_docs"]["order_statuses_unversioned"]
    app.test_client().get("/api/openapi.json")

    assert app.extensions["order_statuses_docs"] == {
        "order_statuses_unversioned": first
    }
    assert app.extensions["order_statuses_docs"]["order_statuses_unversioned"] is first


def test_nothing_of_the_document_is_loaded_before_it_is_asked_for() -> None:
    program = (
        "import sys; from order_statuses.app import create_app; "
        "create_app({'DATABASE_URL': 'sqlite:////nowhere/x'}); "
        "sys.exit('apispec' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


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


@pytest.mark.parametrize(
    "change",
    [
        undocumented_header,
        undocumented_status_code,
        undocumented_field,
        missing_header,
    ],
)
def test_an_answer_against_the_document_fails_its_test(
    database: str, change: Any
) -> None:
    with service(database) as app:
        app.after_request(change)

        with pytest.raises(AssertionError):
            client_of(app, ADMINISTRATOR).get("/api/2.0/statuses")
