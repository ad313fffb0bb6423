"""Requests as the kinds of client that are deployed send them, and what each must find.

A client is known by its habits: the address without a version, a media type on requests
without a body, paging, slashes, repeated parameters, stray characters.
"""

from functools import reduce
from typing import Any, NamedTuple

import pytest
from flask import Flask

from .conftest import ADMINISTRATOR, KEY, basic

pytestmark = pytest.mark.one_database

CREDENTIALS = basic(ADMINISTRATOR, KEY + ADMINISTRATOR)


class Exchange(NamedTuple):
    """A request, and where in the JSON of its response the client finds what."""

    method: str
    address: str
    headers: dict[str, str]
    body: bytes
    code: int
    found: dict[str, Any]


PYTHON = {
    "User-Agent": "python-requests/2.32.3",
    "Accept-Encoding": "gzip, deflate",
    "Accept": "*/*",
    "Connection": "keep-alive",
    "Content-Type": "application/json",
}
PHP = {
    "Accept": "*/*",
    "Content-Type": "application/json",
    "Authorization": f"{CREDENTIALS}:",
}
PHP_FORM = {"Accept": "*/*", "Content-Type": "application/x-www-form-urlencoded"}
GUZZLE = {"User-Agent": "GuzzleHttp/7", "Content-Type": "application/json"}
RUST = {
    "Accept": "*/*",
    "Content-Type": "application/json",
    "User-Agent": "reqwest/0.12",
}
AXIOS = {
    "User-Agent": "axios/1.7.7",
    "Accept": "application/json, text/plain, */*",
    "Content-Type": "application/json",
    "Accept-Encoding": "gzip, compress, deflate, br",
}
NODE_FETCH = {
    "Accept": "*/*",
    "Accept-Language": "*",
    "Sec-Fetch-Mode": "cors",
    "User-Agent": "node",
    "Content-Type": "text/plain;charset=UTF-8",  # of any string that is sent
}
APPS_SCRIPT = {
    "User-Agent": "Mozilla/5.0 (compatible; Google-Apps-Script; beanserver; +https://script.google.com)",
    "Accept-Encoding": "gzip, deflate, br",
    "Content-Type": "application/json",
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
CURL = {"User-Agent": "curl/8.5.0", "Accept": "*/*"}
BROWSER = {
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Sec-Fetch-Site": "none",
    "Upgrade-Insecure-Requests": "1",
}

EXCHANGES: dict[str, Exchange] = {
    "python reads the list in its envelope": Exchange(
        "GET",
        "/api/statuses?items_per_page=250&page=1",
        PYTHON,
        b"",
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
        "GET",
        "/api/statuses?items_per_page=3&page=4",
        PYTHON,
        b"",
        200,
        {"statuses": [], "params.total_items": 7, "params.page": 4},
    ),
    "python reads the plain list of the documentation": Exchange(
        "GET",
        "/api/2.0/statuses/",
        PYTHON,
        b"",
        200,
        {"0.description": "Processed", "1.params.color": "#97cf4d"},
    ),
    "python creates with ASCII escapes": Exchange(
        "POST",
        "/api/2.0/statuses/",
        PYTHON,
        b'{"description": "\\u0423\\u043f\\u0430\\u043a", "params": {"notify": true}}',
        201,
        {"status_id": "12", "statuses_id": "12"},
    ),
    "php asks an entity with a media type and a stray colon": Exchange(
        "GET", "/api/statuses/2", PHP, b"", 200, {"status": "C", "lang_code": "en"}
    ),
    "php updates by a form": Exchange(
        "PUT",
        "/api/statuses/2/",
        PHP_FORM,
        b"description=Done&params%5Bcolor%5D=%23ff0000&params%5Bnotify%5D=N",
        200,
        {"status_id": "2"},
    ),
    "php without rewriting": Exchange(
        "GET",
        "/api.php?_d=statuses&items_per_page=2&page=2",
        PHP,
        b"",
        200,
        {"statuses.0.status_id": "3", "params.total_items": 7},
    ),
    "php without rewriting creates": Exchange(
        "POST",
        "/api.php?_d=statuses/",
        PHP,
        b'{"description":"Packed","type":"O","status":"X","status_id":5}',
        201,
        {"status_id": "12"},
    ),
    "php deletes with a media type and no body": Exchange(
        "DELETE", "/api/statuses/3", PHP, b"", 204, {}
    ),
    "php recognises an error by its message alone": Exchange(
        "DELETE",
        "/api/statuses/1",
        PHP,
        b"",
        400,
        {
            "message": "Bad Request: A default status cannot be deleted; "
            "set is_default to N."
        },
    ),
    "guzzle asks what is not there": Exchange(
        "GET",
        "/api/2.0/statuses/999",
        GUZZLE,
        b"",
        404,
        {"message": "Not Found: There is no such status.", "status": 404},
    ),
    "rust sends numbers and booleans": Exchange(
        "POST",
        "/api/statuses",
        RUST,
        '{"description":"Упакован","is_default":false,"params":{"notify":true,"sort":5}}'.encode(),
        201,
        {"status_id": "12"},
    ),
    "rust repeats parameters": Exchange(
        "GET",
        "/api/statuses?type=G&type=O&page=1&page=2&items_per_page=0",
        RUST,
        b"",
        200,
        {"statuses.0.status_id": "8", "params.total_items": 4},
    ),
    "axios reads": Exchange(
        "GET",
        "/api/2.0/statuses?lang_code=ru&sort_by=status&company_ids=1",
        AXIOS,
        b"",
        200,
        {"0.lang_code": "ru", "0.description": "Обработан"},
    ),
    "axios reads the storefronts": Exchange(
        "GET",
        "/api/stores",
        AXIOS,
        b"",
        200,
        {"stores.0.company_id": "1", "stores.0.company": "Main store"},
    ),
    "node's fetch forgets the media type of JSON": Exchange(
        "POST",
        "/api/2.0/statuses",
        NODE_FETCH,
        b'{"description":"Packed"}',
        400,
        {
            "message": "Bad Request: The body looks like JSON but was sent as a form; "
            "send Content-Type: application/json."
        },
    ),
    "apps script reads with a stray equals sign": Exchange(
        "GET", "/api/statuses/1/", APPS_SCRIPT, b"", 200, {"params.inventory": "D"}
    ),
    "apps script updates": Exchange(
        "PUT",
        "/api/2.0/statuses/2",
        APPS_SCRIPT,
        b'{"email_subj":"","lang_code":"ru"}',
        200,
        {"status_id": "2"},
    ),
    "dotnet sends back all that it read": Exchange(
        "PUT",
        "/api/2.0/statuses/1",
        DOTNET,
        b'{"status_id":"1","status":"P","type":"O","is_default":"Y","description":'
        b'"Processed","email_subj":"x","email_header":"","lang_code":"en","params":'
        b'{"color":"#97cf4d"}}',
        200,
        {"status_id": "1"},
    ),
    "java asks with the Accept that it always sends": Exchange(
        "GET", "/api/2.0/statuses/1", JAVA, b"", 200, {"status_id": "1"}
    ),
    "curl sends the documentation's form": Exchange(
        "PUT",
        "/api/2.0/stores/1/statuses/2",
        CURL | {"Content-type": "text/plain"},
        b"email_subj=test&email_header=header",
        200,
        {"status_id": "2"},
    ),
    "curl without a header sends a form": Exchange(
        "POST",
        "/api/2.0/statuses",
        CURL | {"Content-Type": "application/x-www-form-urlencoded"},
        b'{"description":"Packed"}',
        400,
        {"status": 400},
    ),
    "a person looks at it in a browser": Exchange(
        "GET", "/api/2.0/statuses", BROWSER, b"", 200, {"0.status_id": "1"}
    ),
}


@pytest.mark.parametrize("name", EXCHANGES)
def test_deployed_client_finds_what_it_looks_for(app: Flask, name: str) -> None:
    asked = EXCHANGES[name]
    headers = {"Authorization": CREDENTIALS} | asked.headers
    response = app.test_client().open(
        asked.address, method=asked.method, headers=headers, data=asked.body
    )

    assert response.status_code == asked.code
    assert {
        path: find(response.get_json(silent=True), path) for path in asked.found
    } == asked.found
    assert (response.status_code >= 400) == ("message" in response.text)


def find(body: Any, path: str) -> Any:
    """Return what is in *body* at a path such as ``statuses.0.status_id``."""
    keys = [int(key) if key.isdigit() else key for key in path.split(".")]
    return reduce(lambda inner, key: inner[key], keys, body)
