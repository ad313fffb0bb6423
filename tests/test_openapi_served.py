"""The OpenAPI document as it is served and printed: to whom, and of which login."""

import json
import subprocess
import sys
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy
from openapi_spec_validator import OpenAPIV31SpecValidator

from order_statuses import openapi
from order_statuses.api import create_blueprint
from order_statuses.app import create_app
from order_statuses.auth import identify_user

from .contract import NEVER_OPENED, PREFIXES
from .document import SETTINGS, Json, served

NOBODY: Json = {"ORDER_STATUSES_IDENTIFY": lambda: None}


@pytest.mark.one_database
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


def test_service_may_serve_no_document() -> None:
    app = create_app(NEVER_OPENED | NOBODY | {"ORDER_STATUSES_DOCS": "no"})

    assert app.test_client().get("/api/openapi.json").status_code == 401


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


def test_login_of_api_users_is_that_of_the_service() -> None:
    assert served(ORDER_STATUSES_IDENTIFY=identify_user) == served()


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
