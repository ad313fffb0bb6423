"""Addresses: prefixes, ids, slashes, /api.php, and those that no one has."""

from itertools import product

import pytest
from flask.testing import FlaskClient

from .contract import PREFIXES
from .statuses import assert_error

pytestmark = pytest.mark.one_database

READABLE = (
    "/statuses /statuses/2 /stores /stores/1 /stores/1/statuses /stores/1/statuses/2 "
    "/openapi.json"
).split()
FIELDS = {"description": "Packed", "email_subj": "is packed"}
NO_IDS = [
    *("0", "007", "-1", "+1", "1.5", "1e0", "1_0", "abc", "P", "__class__", "999"),
    *("1%20", "1%00", "1%0a", "%00", "%ff"),
    "\u0661",  # Arabic
    "\uff11",  # full width
    *("9223372036854775808", "9" * 30, "1" * 5000),  # past 64 bits
]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_trailing_slash_is_the_same_address(client: FlaskClient, prefix: str) -> None:
    for address in READABLE:
        plain, slashed = (client.get(prefix + address + end) for end in ("", "/"))

        assert plain.status_code == slashed.status_code == 200
        assert plain.data == slashed.data


def test_writes_take_a_trailing_slash_too(client: FlaskClient) -> None:
    assert client.post("/api/2.0/statuses/", json=FIELDS).status_code == 201
    assert client.put("/api/2.0/statuses/12/", json=FIELDS).status_code == 200
    assert client.put("/api/2.0/stores/1/statuses/12/", json=FIELDS).status_code == 200
    assert client.delete("/api/2.0/statuses/12/").status_code == 204


@pytest.mark.parametrize("bad_id", NO_IDS)
def test_what_is_no_id_is_not_found(client: FlaskClient, bad_id: str) -> None:
    for address, methods in {
        f"/statuses/{bad_id}": ["GET", "PUT", "DELETE"],
        f"/stores/{bad_id}": ["GET"],
        f"/stores/{bad_id}/statuses": ["GET"],
        f"/stores/{bad_id}/statuses/2": ["GET", "PUT"],
        f"/stores/1/statuses/{bad_id}": ["GET", "PUT"],
    }.items():
        for method in methods:
            refused = client.open(f"/api/2.0{address}", method=method, data=FIELDS)

            assert_error(refused, 404)


@pytest.mark.parametrize(
    "address",
    [
        *("", "/", "/nothing", "/no%0Athing", "/nothing%0A", "/orders/1", "/Statuses"),
        *("/statuses/1/2", "/stores/1/users", "//statuses"),
    ],
)
def test_unknown_address_is_not_found_by_any_method(
    client: FlaskClient, address: str
) -> None:
    methods = "GET HEAD POST PUT DELETE PATCH OPTIONS TRACE".split()
    for prefix, method in product(PREFIXES, methods):
        response = client.open(prefix + address, method=method)

        assert response.status_code == 404
        if method != "HEAD":
            assert_error(response, 404)


@pytest.mark.parametrize("address", ["/statuses", "/api2/statuses"])
def test_addresses_outside_the_prefixes_are_not_found_in_json_too(
    stranger: FlaskClient, address: str
) -> None:
    assert_error(stranger.get(address), 404)


def test_references_are_paths_whatever_the_host(client: FlaskClient) -> None:
    foreign = {"Host": "evil.example"}
    created = client.post("/api/statuses", data=FIELDS, headers=foreign)
    listed = client.get("/api/statuses?items_per_page=9", headers=foreign)

    assert created.headers["Location"] == "/api/statuses/12"
    assert "</api/statuses?items_per_page=9&page=1>" in listed.headers["Link"]


def test_references_begin_with_the_folder_that_the_service_is_mounted_in(
    client: FlaskClient,
) -> None:
    folder = {"SCRIPT_NAME": "/shop"}
    created = client.post("/api/2.0/statuses", data=FIELDS, environ_overrides=folder)
    listed = client.get("/api/2.0/stores?items_per_page=1", environ_overrides=folder)

    assert created.headers["Location"] == "/shop/api/2.0/statuses/12"
    assert "</shop/api/2.0/stores?items_per_page=1&page=2>" in listed.headers["Link"]


@pytest.mark.parametrize(
    ("query", "same_as"),
    [
        ("_d=statuses/1", "/api/statuses/1"),
        ("_d=/statuses/1/", "/api/statuses/1"),
        ("_d=statuses%2F1&lang_code=ru", "/api/statuses/1?lang_code=ru"),
        ("lang_code=ru&_d=statuses/1", "/api/statuses/1?lang_code=ru"),
        ("q=statuses", "/api/statuses"),
        ("q=statuses&_d=stores", "/api/stores"),
        ("_d=statuses&items_per_page=3", "/api/statuses?items_per_page=3"),
        ("_d=stores/1/statuses/2", "/api/stores/1/statuses/2"),
        ("_d=2.0/statuses", "/api/2.0/statuses"),
        ("_d=nothing", "/api/nothing"),
        ("_d=//statuses", "/api//statuses"),
        ("", "/api/"),
    ],
)
def test_api_php_is_the_address_in_its_query(
    client: FlaskClient, query: str, same_as: str
) -> None:
    response, expected = client.get(f"/api.php?{query}"), client.get(same_as)

    assert response.status_code == expected.status_code
    assert response.data == expected.data
    assert response.headers.get("Link") == expected.headers.get("Link")


def test_api_php_takes_every_method_and_asks_for_credentials(
    client: FlaskClient, stranger: FlaskClient
) -> None:
    assert client.post("/api.php?_d=statuses", data=FIELDS).status_code == 201
    assert client.put("/api.php?_d=statuses/12", data=FIELDS).status_code == 200
    assert client.delete("/api.php?_d=statuses/12").status_code == 204
    assert_error(stranger.get("/api.php?_d=statuses"), 401)
