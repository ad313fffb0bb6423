"""A test client that holds every response against the document that the service serves.

An undocumented status code, header or field fails the test that met it.
"""

import re
from collections.abc import Mapping
from functools import cache, reduce
from operator import getitem
from tempfile import gettempdir
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from werkzeug.test import TestResponse

from order_statuses.app import create_app, without_api_php

# For services that never ask their database.
NEVER_OPENED = {"DATABASE_URL": f"sqlite:///{gettempdir()}/never-opened.db"}
PREFIXES = ("/api/2.0", "/api")  # the longer one first
# What shapes the document.
SETTINGS = (
    "ORDER_STATUSES_LANGUAGES",
    "ORDER_STATUSES_TYPES",
    "ORDER_STATUSES_LIST_FORM",
    "ORDER_STATUSES_POSITION",
    "ORDER_STATUSES_REQUIRE_IF_MATCH",
)
# What HTTP itself gives a response, and the service to each of them.
HTTP_HEADERS = {"Content-Type", "Content-Length", "X-Request-Id"}
# HEAD and OPTIONS are not listed: the description says that every address has them.
ALWAYS = {"HEAD", "OPTIONS"}
OPTIONS = {"headers": {"Allow": {"required": True}}}
# Of no operation, so that no component has it; the description says what it is.
ERROR = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
METHOD_NOT_ALLOWED = OPTIONS | {"content": ERROR}
# Where the document has no such address or method.
REFUSALS = {
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    503: "ServiceUnavailable",
}


class CheckedClient(FlaskClient):
    """A client that believes no response below the API's prefixes."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        response = super().open(*args, **kwargs)
        request = response.request
        method, path = request.method, request.path
        if path == "/api.php":
            path = without_api_php(request.query_string.decode("latin-1"))["PATH_INFO"]
        for prefix in PREFIXES:
            if path == f"{prefix}/docs" or path.startswith(f"{prefix}/docs/"):
                break  # the page, which is for people: test_docs_page.py has it
            if path == prefix or path.startswith(f"{prefix}/"):
                address = path.removeprefix(prefix)
                contract_of(self.application, prefix).check(method, address, response)
                break
        return response


def contract_of(app: Flask, prefix: str) -> "Contract":
    """Return the contract that *app* publishes at *prefix*."""
    settings = app.extensions["order_statuses"].settings
    return published(prefix, *[settings[name] for name in SETTINGS])


@cache
def published(prefix: str, *settings: Any) -> "Contract":
    """Return what a service with these *settings* serves."""
    app = create_app(NEVER_OPENED | dict(zip(SETTINGS, settings, strict=True)))
    return Contract(app.test_client().get(f"{prefix}/openapi.json").get_json())


class Contract:
    """A document against which responses are checked."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self.validator = Draft202012Validator(document)
        self.templates = {
            re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template)) + "/?"): path
            for template, path in document["paths"].items()
        }

    def check(self, method: str, address: str, response: TestResponse) -> None:
        """Fail unless the document says that *response* may be."""
        path = self.path(address)
        documented = self.documented(path, method, response.status_code)
        headers = self.resolve(documented.get("headers", {}))
        present = {name.title() for name in response.headers.keys()}
        assert present - HTTP_HEADERS <= {name.title() for name in headers}
        for name, header in headers.items():
            required = self.resolve(header)["required"]
            assert name in response.headers or not required, f"{name} is missing"
        if path and "Allow" in response.headers:
            assert set(response.headers["Allow"].split(", ")) == methods_of(path)
        content = documented.get("content")
        if content is None or method == "HEAD":
            assert response.data == b""
        else:
            assert response.content_type == "application/json"
            schema = content["application/json"]["schema"]
            assert list(self.validator.descend(response.json, schema)) == []

    def path(self, address: str) -> Any:
        """Return what the document says of an address; nothing if it has no such."""
        for template, path in self.templates.items():
            if template.fullmatch(address):
                return path
        return {}

    def documented(self, path: Any, method: str, code: int) -> Any:
        """Return what the document says of this response."""
        if path and method == "OPTIONS" and code == 204:
            return OPTIONS
        operation = path.get("get" if method == "HEAD" else method.lower())
        if operation is None and code == 405:
            return METHOD_NOT_ALLOWED
        if operation is None:
            name = REFUSALS.get(code)
            assert name, f"{code} for {method}, which is not documented here"
            return self.document["components"]["responses"][name]
        documented = operation["responses"].get(str(code))
        assert documented, f"{code} is not documented for {operation['operationId']}"
        return self.resolve(documented)

    def resolve(self, node: Any) -> Any:
        """Follow a reference."""
        if "$ref" in node:
            return reduce(getitem, node["$ref"].split("/")[1:], self.document)
        return node


def methods_of(path: Mapping[str, Any]) -> set[str]:
    """Return the methods of a path, with those that every path has."""
    return {method.upper() for method in path if method != "parameters"} | ALWAYS
