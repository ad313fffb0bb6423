"""Requests that must work as they do with CS-Cart: those of the published documentation
page, and what deployed clients send and must find.

A client is known by its habits: the address without a version, a media type on requests
without a body, paging, slashes, repeated parameters, stray characters.
"""

import json
from functools import reduce
from typing import Any, NamedTuple

import pytest
from flask import Flask
from flask.testing import FlaskClient

from .conftest import ADMINISTRATOR, KEY, basic
from .published_page import COMPLETE, NEW, PROCESSED


def compact(text: str) -> str:
    """Drop the white space between JSON's tokens; the order of keys stays."""
    return json.dumps(json.loads(text), separators=(",", ":"))


def test_requests_of_the_documentation_in_its_order(client: FlaskClient) -> None:
    listed = client.get("/api/2.0/statuses")
    assert listed.status_code == 200
    assert listed.text.startswith(f"[{compact(PROCESSED)},{compact(COMPLETE)},")

    read = client.get("/api/2.0/statuses/1")
    assert (read.status_code, read.text) == (200, compact(PROCESSED))

    json_header = {"Content-type": "text/json"}
    created = client.post("/api/2.0/statuses", data=NEW, headers=json_header)
    assert created.status_code == 201
    assert created.get_json()["statuses_id"] == "12"

    form_header = {"Content-type": "text/plain"}
    for address, form in {
        "/api/2.0/stores/1/statuses/2": "email_subj=test&email_header=header",
        "/api/2.0/statuses/2": "description=Test",
    }.items():
        updated = client.put(address, data=form, headers=form_header)
        assert (updated.status_code, updated.json) == (200, {"status_id": "2"})

    deleted = client.delete("/api/2.0/statuses/3")
    assert (deleted.status_code, deleted.data) == (204, b"")


CREDENTIALS = basic(ADMINISTRATOR, KEY + ADMINISTRATOR)
AS_JSON = {"Content-Type": "application/json"}
PYTHON = AS_JSON | {
    "User-Agent": "python-requests/2.32.3",
    "Accept-Encoding": "gzip, deflate",
    "Accept": "*/*",
    "Connection": "keep-alive",
}
PHP = AS_JSON | {"Accept": "*/*", "Authorization": f"{CREDENTIALS}:"}
PHP_FORM = {"Accept": "*/*", "Content-Type": "application/x-www-form-urlencoded"}
GUZZLE = AS_JSON | {"User-Agent": "GuzzleHttp/7"}
RUST = AS_JSON | {"Accept": "*/*", "User-Agent": "reqwest/0.12"}
AXIOS = AS_JSON | {
    "User-Agent": "axios/1.7.7",
    "Accept": "application/json, text/plain, */*",
    "Accept-Encoding": "gzip, compress, deflate, br",
}
NODE_FETCH = {
    "Accept": "*/*",
    "Accept-Language": "*",
    "Sec-Fetch-Mode": "cors",
    "User-Agent": "node",
    "Content-Type": "text/plain;charset=UTF-8",  # of any string that is sent
}
APPS_SCRIPT = AS_JSON | {
    "User-Agent": "Mozilla/5.0 (compatible; Google-Apps-Script; beanserver)",
    "Accept-Encoding": "gzip, deflate, br",
    "Authorization": f"{CREDENTIALS}=",
}
DOTNET = {
    "Content-Type": "application/json; charset=utf-8",
    "Accept": "application/json",
}
JAVA = {
    "User-Agent": "Java/1.8.0_402",
    "Accept": "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2",
}
BROWSER = {
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Sec-Fetch-Site": "none",
    "Upgrade-Insecure-Requests": "1",
}


class Exchange(NamedTuple):
    """A request, and where in the JSON of its response the client finds what."""

    headers: dict[str, str]
    request: str
    code: int
    found: dict[str, Any]
    body: str = ""


NOT_DELETABLE = "A default status cannot be deleted; set is_default to N."
AS_A_FORM = (
    "The body looks like JSON but was sent as a form; "
    "send Content-Type: application/json."
)
EXCHANGES: dict[str, Exchange] = {
    "python reads the list in its envelope": Exchange(
        PYTHON,
        "GET /api/statuses?items_per_page=250&page=1",
        200,
        {
            "statuses.0.status_id": "1",
            "statuses.0.status": "P",
            "statuses.6.description": "Canceled",
            "params.total_items": 7,
            "params.items_per_page": 250,
            "params.page": 1,
        },
    ),
    "python pages until a page is empty": Exchange(
        PYTHON,
        "GET /api/statuses?items_per_page=3&page=4",
        200,
        {"statuses": [], "params.total_items": 7, "params.page": 4},
    ),
    "python creates with ASCII escapes": Exchange(
        PYTHON,
        "POST /api/2.0/statuses/",
        201,
        {"status_id": "12", "statuses_id": "12"},
        '{"description": "\\u0423\\u043f\\u0430\\u043a", "params": {"notify": true}}',
    ),
    "php asks an entity with a media type and a stray colon": Exchange(
        PHP, "GET /api/statuses/2", 200, {"status": "C", "lang_code": "en"}
    ),
    "php updates by a form": Exchange(
        PHP_FORM,
        "PUT /api/statuses/2/",
        200,
        {"status_id": "2"},
        "description=Done&params%5Bcolor%5D=%23ff0000&params%5Bnotify%5D=N",
    ),
    "php without rewriting": Exchange(
        PHP,
        "GET /api.php?_d=statuses&items_per_page=2&page=2",
        200,
        {"statuses.0.status_id": "3", "params.total_items": 7},
    ),
    "php without rewriting creates": Exchange(
        PHP,
        "POST /api.php?_d=statuses/",
        201,
        {"status_id": "12"},
        '{"description":"Packed","type":"O","status":"X","status_id":5}',
    ),
    "php deletes with a media type and no body": Exchange(
        PHP, "DELETE /api/statuses/3", 204, {}
    ),
    "php recognises an error by its message alone": Exchange(
        PHP,
        "DELETE /api/statuses/1",
        400,
        {"message": f"Bad Request: {NOT_DELETABLE}"},
    ),
    "guzzle asks what is not there": Exchange(
        GUZZLE,
        "GET /api/2.0/statuses/999",
        404,
        {"message": "Not Found: There is no such status.", "status": 404},
    ),
    "rust sends numbers and booleans": Exchange(
        RUST,
        "POST /api/statuses",
        201,
        {"status_id": "12"},
        '{"description":"Упакован","is_default":false,"params":{"sort":5}}',
    ),
    "rust repeats parameters": Exchange(
        RUST,
        "GET /api/statuses?type=G&type=O&page=1&page=2&items_per_page=0",
        200,
        {"statuses.0.status_id": "8", "params.total_items": 4},
    ),
    "axios reads": Exchange(
        AXIOS,
        "GET /api/2.0/statuses?lang_code=ru&sort_by=status&company_ids=1",
        200,
        {"0.lang_code": "ru", "0.description": "Обработан"},
    ),
    "axios reads the storefronts": Exchange(
        AXIOS,
        "GET /api/stores",
        200,
        {"stores.0.company_id": "1", "stores.0.company": "Main store"},
    ),
    "node's fetch forgets the media type of JSON": Exchange(
        NODE_FETCH,
        "POST /api/2.0/statuses",
        400,
        {"message": f"Bad Request: {AS_A_FORM}"},
        '{"description":"Packed"}',
    ),
    "apps script reads with a stray equals sign": Exchange(
        APPS_SCRIPT, "GET /api/statuses/1/", 200, {"params.inventory": "D"}
    ),
    "apps script updates": Exchange(
        APPS_SCRIPT,
        "PUT /api/2.0/statuses/2",
        200,
        {"status_id": "2"},
        '{"email_subj":"","lang_code":"ru"}',
    ),
    "dotnet sends back all that it read": Exchange(
        DOTNET, "PUT /api/2.0/statuses/1", 200, {"status_id": "1"}, PROCESSED
    ),
    "java asks with the Accept that it always sends": Exchange(
        JAVA, "GET /api/2.0/statuses/1", 200, {"status_id": "1"}
    ),
    "a person looks at it in a browser": Exchange(
        BROWSER, "GET /api/2.0/statuses", 200, {"0.status_id": "1"}
    ),
}


@pytest.mark.one_database
@pytest.mark.parametrize("name", EXCHANGES)
def test_deployed_client_finds_what_it_looks_for(app: Flask, name: str) -> None:
    headers, request, code, found, body = EXCHANGES[name]
    method, address = request.split()
    response = app.test_client().open(
        address,
        method=method,
        headers={"Authorization": CREDENTIALS} | headers,
        data=body.encode(),
    )

    assert response.status_code == code
    assert {path: find(response.get_json(silent=True), path) for path in found} == found
    assert (response.status_code >= 400) == ("message" in response.text)


def find(body: Any, path: str) -> Any:
    """Return what is in *body* at a path such as ``statuses.0.status_id``."""
    keys = [int(key) if key.isdigit() else key for key in path.split(".")]
    return reduce(lambda inner, key: inner[key], keys, body)


@pytest.mark.one_database
@pytest.mark.parametrize(
    "accept", ["", "*/*", "text/html", "application/json;q=0", "*; q=.2", "\xff"]
)
def test_accept_does_not_matter(client: FlaskClient, accept: str) -> None:
    headers = {"Accept": accept}
    read = client.get("/api/2.0/statuses/1", headers=headers)
    created = client.post(
        "/api/2.0/statuses", data={"description": "Packed"}, headers=headers
    )
    deleted = client.delete("/api/2.0/statuses/12", headers=headers)

    assert (read.status_code, read.content_type) == (200, "application/json")
    assert (created.status_code, created.content_type) == (201, "application/json")
    assert deleted.status_code == 204
