"""The examples of the OpenAPI document: they work, and are what the service says."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from sqlalchemy.exc import OperationalError

from order_statuses import migrations
from order_statuses.auth import Caller

from .conftest import ADMINISTRATOR, BOUND, KEY, basic, client_of, service, settings_of
from .document import SETTINGS, Json, operations, parameters, resolve, served, success
from .published_page import NEW, PROCESSED
from .statuses import STATUSES, ids

pytestmark = pytest.mark.one_database


@pytest.fixture(scope="module")
def document() -> Json:
    return served()


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
    client.put(f"{STATUSES}/1", json={"params": of_none})
    assert found(client, {p["name"]: value_of(p) for p in query}) == ["1"]


def found(client: FlaskClient, filters: Json) -> list[str]:
    """Return the ids of the statuses that *filters* find."""
    return ids(client.get(STATUSES, query_string=filters))


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
