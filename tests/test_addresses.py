"""Addresses, methods, negotiation, paging, and the order of refusals."""

from itertools import product
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from .conftest import ADMINISTRATOR, client_of, service

pytestmark = pytest.mark.one_database

READABLE = {
    "/statuses": "GET, HEAD, POST, OPTIONS",
    "/statuses/2": "GET, HEAD, PUT, DELETE, OPTIONS",
    "/stores": "GET, HEAD, OPTIONS",
    "/stores/1": "GET, HEAD, OPTIONS",
    "/stores/1/statuses": "GET, HEAD, OPTIONS",
    "/stores/1/statuses/2": "GET, HEAD, PUT, OPTIONS",
    "/openapi.json": "GET, HEAD, OPTIONS",
}
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"]
NO_IDS = [
    "0",
    "007",
    "-1",
    "+1",
    "1.5",
    "1e0",
    "abc",
    "P",
    "\u0661",  # Arabic
    "\uff11",  # full width
    "1%20",
    "1%00",
    "999",
    "9223372036854775808",
    "99999999999999999999",
    "1" * 5000,
]
PREFIXES = ["/api/2.0", "/api"]
LISTS = ["/statuses", "/stores/1/statuses"]


def assert_error(response: TestResponse, code: int) -> None:
    """Assert that *response* is the JSON error that clients recognise."""
    assert response.status_code == code
    assert response.content_type == "application/json"
    body = response.get_json()
    assert body["status"] == code
    phrase = response.status.partition(" ")[2].lower()
    assert body["message"].lower().startswith(f"{phrase}: ")


# Addresses


@pytest.mark.parametrize("prefix", PREFIXES)
def test_trailing_slash_is_the_same_address(client: FlaskClient, prefix: str) -> None:
    for address in READABLE:
        plain, slashed = (client.get(prefix + address + end) for end in ("", "/"))

        assert plain.status_code == slashed.status_code == 200
        assert plain.data == slashed.data


def test_writes_take_a_trailing_slash_too(client: FlaskClient) -> None:
    fields = {"description": "Packed", "email_subj": "is packed"}

    assert client.post("/api/2.0/statuses/", json=fields).status_code == 201
    assert client.put("/api/2.0/statuses/12/", json=fields).status_code == 200
    assert client.put("/api/2.0/stores/1/statuses/12/", json=fields).status_code == 200
    assert client.delete("/api/2.0/statuses/12/").status_code == 204


@pytest.mark.parametrize("bad_id", NO_IDS)
def test_what_is_no_id_is_not_found(client: FlaskClient, bad_id: str) -> None:
    fields = {"description": "Packed", "email_subj": "is packed"}
    for address in (
        f"/api/2.0/statuses/{bad_id}",
        f"/api/2.0/stores/{bad_id}/statuses/2",
        f"/api/2.0/stores/1/statuses/{bad_id}",
    ):
        assert_error(client.get(address), 404)
        assert_error(client.put(address, json=fields), 404)
    assert_error(client.delete(f"/api/2.0/statuses/{bad_id}"), 404)
    assert_error(client.get(f"/api/2.0/stores/{bad_id}"), 404)
    assert_error(client.get(f"/api/2.0/stores/{bad_id}/statuses"), 404)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "/",
        "/nothing",
        "/no%0Athing",
        "/nothing%0A",
        "/orders/1",
        "/statuses/1/2",
        "/stores/1/users",
        "/Statuses",
    ],
)
def test_unknown_address_is_not_found_by_any_method(
    client: FlaskClient, address: str
) -> None:
    for prefix, method in product(PREFIXES, METHODS):
        response = client.open(prefix + address, method=method)
        if method == "HEAD":
            assert response.status_code == 404
        else:
            assert_error(response, 404)


def test_addresses_outside_the_prefixes_are_not_found_in_json_too(
    stranger: FlaskClient,
) -> None:
    assert_error(stranger.get("/statuses"), 404)
    assert_error(stranger.get("/api2/statuses"), 404)


@pytest.mark.parametrize(
    ("query", "same_as"),
    [
        ("_d=statuses/1", "/api/statuses/1"),
        ("_d=/statuses/1/", "/api/statuses/1"),
        ("_d=statuses%2F1&lang_code=ru", "/api/statuses/1?lang_code=ru"),
        ("lang_code=ru&_d=statuses/1", "/api/statuses/1?lang_code=ru"),
        ("q=statuses", "/api/statuses"),
        ("q=statuses&_d=stores", "/api/stores"),
        (
            "_d=statuses&items_per_page=3&page=2",
            "/api/statuses?items_per_page=3&page=2",
        ),
        ("_d=stores/1/statuses/2", "/api/stores/1/statuses/2"),
        ("_d=2.0/statuses", "/api/2.0/statuses"),
        ("_d=nothing", "/api/nothing"),
        ("", "/api/"),
    ],
)
def test_api_php_is_the_address_in_its_query(
    client: FlaskClient, query: str, same_as: str
) -> None:
    response, expected = client.get(f"/api.php?{query}"), client.get(same_as)

    assert (response.status_code, response.data) == (
        expected.status_code,
        expected.data,
    )
    assert response.headers.get("Link") == expected.headers.get("Link")


def test_api_php_takes_every_method_and_asks_for_credentials(
    client: FlaskClient, stranger: FlaskClient
) -> None:
    form = {"description": "Packed"}

    assert client.post("/api.php?_d=statuses", data=form).status_code == 201
    assert client.put("/api.php?_d=statuses/12", data=form).status_code == 200
    assert client.delete("/api.php?_d=statuses/12").status_code == 204
    assert_error(stranger.get("/api.php?_d=statuses"), 401)


# Methods


@pytest.mark.parametrize(
    "address", [*READABLE, "/statuses?page=0", "/statuses/2?lang_code=xx"]
)
def test_head_is_get_without_a_body(client: FlaskClient, address: str) -> None:
    got, headers = client.get(f"/api/2.0{address}"), client.head(f"/api/2.0{address}")

    assert headers.status_code == got.status_code
    assert headers.headers == got.headers
    assert headers.data == b""


@pytest.mark.parametrize("address", READABLE)
def test_allow_lists_the_methods_of_the_address(
    client: FlaskClient, address: str
) -> None:
    has = READABLE[address]
    for prefix in PREFIXES:
        asked = client.options(prefix + address)

        assert (asked.status_code, asked.data) == (204, b"")
        assert asked.headers["Allow"] == has
        for method in set(METHODS) - set(has.split(", ")):
            refused = client.open(prefix + address, method=method)
            assert_error(refused, 405)
            assert refused.headers["Allow"] == has


# Accept


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


@pytest.mark.parametrize("content_type", ["application/json", "application/xml", "?"])
def test_get_and_delete_have_no_body_to_parse(
    client: FlaskClient, content_type: str
) -> None:
    headers = {"Content-Type": content_type}

    got = client.get("/api/2.0/statuses/1", headers=headers, data=b"\xff{")
    deleted = client.delete("/api/2.0/statuses/3", headers=headers)

    assert (got.status_code, deleted.status_code) == (200, 204)


# Paging


def ids(response: TestResponse) -> list[str]:
    body = response.get_json()
    return [status["status_id"] for status in body]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["1", "2", "3", "4", "5", "6", "7"]),
        ("items_per_page=0", ["1", "2", "3", "4", "5", "6", "7"]),
        ("items_per_page=0&page=2", []),
        ("items_per_page=3", ["1", "2", "3"]),
        ("items_per_page=3&page=2", ["4", "5", "6"]),
        ("items_per_page=3&page=3", ["7"]),
        ("items_per_page=3&page=9", []),
        ("items_per_page=100", ["1", "2", "3", "4", "5", "6", "7"]),
        ("items_per_page=3&items_per_page=x&page=3&page=0", ["7"]),
        ("items_per_page=999999999999999999&page=999999999999999999", []),
        ("type=G", ["8", "9", "10", "11"]),
        ("type=G&type=O&items_per_page=1&page=2", ["9"]),
        ("type=X", []),
        ("sort_by=position&company_id=7", ["1", "2", "3", "4", "5", "6", "7"]),
        ("status=P", ["1"]),
        ("status=C,P,Z", ["1", "2"]),
        ("status=P&status=C", ["1", "2"]),
        ("status=P,%20C", ["1", "2"]),
        ("status=%20P&status=&status=C,", ["1", "2"]),
        ("status=p", []),
        ("status=&type=G&page=&items_per_page=&lang_code=", ["8", "9", "10", "11"]),
        ("params[repay]=&status=P", []),
        ("status=B&type=G", []),
        ("params[repay]=N", ["1", "2", "6"]),
        ("params%5Brepay%5D=N&params[gift_cert_status]=P", ["1", "6"]),
        ("params[repay]=Y&status=B,P,F&items_per_page=1&page=2", ["4"]),
        ("params[repay]=N&params[repay]=Y", ["1", "2", "6"]),
        ("params[repay]=", []),
        ("params[repay]=n", []),
        ("params[no]=N", []),
        ("params[]=N", []),
        ("params[repay=N&params=N", ["1", "2", "3", "4", "5", "6", "7"]),
    ],
)
def test_list_is_cut_as_its_query_says(
    client: FlaskClient, query: str, expected: list[str]
) -> None:
    for address in LISTS:
        assert ids(client.get(f"/api/2.0{address}?{query}")) == expected


@pytest.mark.parametrize(
    "query",
    [
        "page=0",
        "page=-1",
        "page=x",
        "page=1.0",
        "page=%2B1",
        "page=٣",
        "page=1000000000000000000",
        "items_per_page=-1",
        "items_per_page=x",
        "items_per_page=x&items_per_page=3",
    ],
)
def test_invalid_page_is_400(client: FlaskClient, query: str) -> None:
    for address in [*LISTS, "/stores"]:
        refused = client.get(f"/api/2.0{address}?{query}")

        assert_error(refused, 400)
        assert list(refused.get_json()["errors"]) == [query.partition("=")[0]]


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("items_per_page=-1", "Must be greater than or equal to 0."),
        ("page=-1", "Must be greater than or equal to 1."),
        ("page=1.5", "Must be a whole number of at most 18 digits."),
    ],
)
def test_message_says_what_is_wrong_with_a_page(
    client: FlaskClient, query: str, problem: str
) -> None:
    refused: Any = client.get(f"/api/2.0/statuses?{query}").json

    assert refused["errors"] == {query.partition("=")[0]: [problem]}


@pytest.mark.parametrize(
    ("query", "total", "link"),
    [
        ("", "7", None),
        ("items_per_page=0", "7", None),
        ("type=G&items_per_page=9", "4", "first=1 last=1"),
        ("items_per_page=3", "7", "first=1 next=2 last=3"),
        ("items_per_page=3&page=2", "7", "first=1 prev=1 next=3 last=3"),
        ("items_per_page=3&page=3", "7", "first=1 prev=2 last=3"),
        ("items_per_page=3&page=9", "7", "first=1 prev=3 last=3"),
        ("items_per_page=3&type=X", "0", "first=1 last=1"),
        ("status=P,C,B", "3", None),
        ("params[repay]=N&status=P,C,B&items_per_page=1", "2", "first=1 next=2 last=2"),
    ],
)
def test_headers_tell_the_total_and_the_other_pages(
    client: FlaskClient, query: str, total: str, link: str | None
) -> None:
    response = client.get(f"/api/2.0/statuses?{query}")
    pages = [
        f"{relation}={url.partition('page=')[2].rpartition('&page=')[2]}"
        for relation, url in links(response).items()
    ]

    assert response.headers["X-Total-Count"] == total
    assert " ".join(pages) == (link or "")
    assert ("Link" in response.headers) == bool(link)


def links(response: TestResponse) -> dict[str, str]:
    """Return the pages that *response* links to, by their relation."""
    header = response.headers.get("Link", "")
    pairs = [link.split(">; rel=") for link in header.split(", ") if link]
    return {relation.strip('"'): url.removeprefix("<") for url, relation in pairs}


def test_links_lead_through_the_whole_list(client: FlaskClient) -> None:
    address, read = "/api/2.0/statuses?lang_code=ru&items_per_page=2&x=%3E+1&x=2", []
    while address:
        response = client.get(address)
        read += ids(response)
        assert all(s["lang_code"] == "ru" for s in response.get_json())
        address = links(response).get("next", "")

    assert read == ["1", "2", "3", "4", "5", "6", "7"]
    assert links(response)["last"] == (
        "/api/2.0/statuses?lang_code=ru&items_per_page=2&x=%3E+1&x=2&page=4"
    )


def test_link_that_a_proxy_would_refuse_is_left_out(client: FlaskClient) -> None:
    def listed(filler: int) -> TestResponse:
        query = f"items_per_page=3&x={'y' * filler}"
        return client.get(f"/api/2.0/statuses?{query}")

    longest = 2000 - len(listed(0).headers["Link"])  # of three links, each with it

    assert len(listed(longest // 3).headers["Link"]) in range(1998, 2001)
    for filler in (longest // 3 + 1, 8000):
        assert "Link" not in listed(filler).headers
        assert listed(filler).headers["X-Total-Count"] == "7"
        assert ids(listed(filler)) == ["1", "2", "3"]


def test_references_are_paths_whatever_the_host(client: FlaskClient) -> None:
    foreign = {"Host": "evil.example"}
    form = {"description": "Packed"}
    created = client.post("/api/statuses", data=form, headers=foreign)
    listed = client.get("/api/statuses?items_per_page=9", headers=foreign)

    assert created.headers["Location"] == "/api/statuses/12"
    assert links(listed)["first"] == "/api/statuses?items_per_page=9&page=1"


def test_references_begin_with_the_folder_that_the_service_is_mounted_in(
    client: FlaskClient,
) -> None:
    folder = {"SCRIPT_NAME": "/shop"}
    created = client.post(
        "/api/2.0/statuses", data={"description": "Packed"}, environ_overrides=folder
    )
    listed = client.get("/api/2.0/stores?items_per_page=1", environ_overrides=folder)

    assert created.headers["Location"] == "/shop/api/2.0/statuses/12"
    assert links(listed)["next"] == "/shop/api/2.0/stores?items_per_page=1&page=2"


@pytest.mark.parametrize(
    ("query", "params", "expected"),
    [
        ("", {"items_per_page": 0, "page": 1, "total_items": 7}, 7),
        ("?items_per_page=3", {"items_per_page": 3, "page": 1, "total_items": 7}, 3),
        (
            "?page=9&items_per_page=3",
            {"items_per_page": 3, "page": 9, "total_items": 7},
            0,
        ),
    ],
)
def test_envelope_holds_the_paging(
    client: FlaskClient, query: str, params: dict[str, int], expected: int
) -> None:
    body = client.get(f"/api/statuses{query}").get_json()
    plain = client.get(f"/api/2.0/statuses{query}").get_json()

    assert body == {"statuses": plain, "params": params}
    assert len(plain) == expected


def test_stores_come_in_both_forms(client: FlaskClient) -> None:
    stores = [
        {"company_id": "1", "company": "Main store"},
        {"company_id": "2", "company": "Second store"},
    ]
    paging = {"items_per_page": 0, "page": 1, "total_items": 2}

    assert client.get("/api/2.0/stores").json == stores
    assert client.get("/api/stores").json == {"stores": stores, "params": paging}
    assert client.get("/api/stores/2").json == stores[1]


def test_setting_gives_the_envelope_at_the_versioned_address_too(database: str) -> None:
    with service(database, ORDER_STATUSES_LIST_FORM="envelope") as app:
        client = client_of(app, ADMINISTRATOR)
        versioned, unversioned = (
            client.get(f"{prefix}/statuses") for prefix in ("/api/2.0", "/api")
        )

    assert versioned.json == unversioned.json
    assert versioned.get_json().keys() == {"statuses", "params"}


# The order of refusals

LARGE = b"description=" + b"a" * 2**20
XML = {"Content-Type": "application/xml"}
HTML = {"Accept": "text/html"}
FOREIGN = {"Origin": "https://evil.example"}


def send_all_faults(
    client: FlaskClient, method: str, address: str, headers: Any
) -> TestResponse:
    """Send a body that is too large and of an unknown type, under these *headers*."""
    sent = {**headers, **XML, **HTML}
    return client.open(f"/api/2.0{address}", method=method, headers=sent, data=LARGE)


@pytest.mark.parametrize(
    ("method", "address", "headers", "code"),
    [
        # Each has every fault of those below it, and one more.
        ("OPTIONS", "/stores/2/statuses/999", FOREIGN, 401),
        ("PATCH", "/nothing", FOREIGN, 401),
        ("GET", "/no%0Athing", FOREIGN, 401),
        ("POST", "/statuses/999", FOREIGN, 401),
    ],
)
def test_strangers_learn_nothing(
    stranger: FlaskClient, method: str, address: str, headers: Any, code: int
) -> None:
    assert_error(send_all_faults(stranger, method, address, headers), code)


@pytest.mark.parametrize(
    ("method", "address", "headers", "code"),
    [
        ("POST", "/statuses/999", FOREIGN, 405),
        ("PATCH", "/stores/99/statuses/2", FOREIGN, 405),
        ("DELETE", "/stores/1/statuses/999", FOREIGN, 405),
        ("POST", "/nothing", FOREIGN, 404),
        ("PUT", "/statuses/999", FOREIGN, 403),
        ("POST", "/statuses", FOREIGN, 403),
        ("POST", "/statuses/1", {}, 405),
        ("PUT", "/statuses", {}, 405),
        ("DELETE", "/stores/1/statuses/1", {}, 405),
        ("PUT", "/statuses/999", {}, 413),
        ("PUT", "/stores/99/statuses/999", {}, 413),
        ("POST", "/statuses", {}, 413),
    ],
)
def test_refusals_come_in_order(
    client: FlaskClient, method: str, address: str, headers: Any, code: int
) -> None:
    assert_error(send_all_faults(client, method, address, headers), code)


MALFORMED = {"If-Match": "unquoted"}
STALE = {"If-Match": '"of-something-else"'}
AS_JSON = {"Content-Type": "application/json"}
TOO_MANY_PARAMS = b'{"params": {%s}}' % b", ".join(b'"p%d": "x"' % n for n in range(64))


@pytest.mark.parametrize(
    ("method", "address", "headers", "body", "code", "word"),
    [
        # Each has every fault of those below it, and one more.
        ("PUT", "/statuses/999?lang_code=xx", MALFORMED | XML, b"{", 415, ""),
        ("PUT", "/statuses/999?lang_code=xx", MALFORMED | AS_JSON, b"{", 400, "JSON"),
        ("PUT", "/statuses/999", MALFORMED | AS_JSON, b"{}", 400, "Nothing"),
        ("PUT", "/statuses/999", MALFORMED | AS_JSON, TOO_MANY_PARAMS, 400, "quote"),
        ("PUT", "/statuses/999", STALE | AS_JSON, TOO_MANY_PARAMS, 404, ""),
        ("PUT", "/statuses/1", STALE | AS_JSON, TOO_MANY_PARAMS, 412, ""),
        ("PUT", "/statuses/1", AS_JSON, TOO_MANY_PARAMS, 400, "64"),
        ("PUT", "/stores/99/statuses/999?lang_code=xx", STALE, b"email_subj=", 400, ""),
        ("PUT", "/stores/99/statuses/999", MALFORMED, b"email_subj=", 400, "quote"),
        ("PUT", "/stores/99/statuses/999", STALE, b"email_subj=", 404, "store"),
        ("PUT", "/stores/1/statuses/999", STALE, b"email_subj=", 404, "status"),
        ("PUT", "/stores/1/statuses/1", STALE, b"email_subj=", 412, ""),
        ("DELETE", "/statuses/999", MALFORMED | XML, b"", 400, "quote"),
        ("DELETE", "/statuses/999", STALE, b"", 404, ""),
        ("DELETE", "/statuses/1", STALE, b"", 412, ""),
        ("DELETE", "/statuses/1", {}, b"", 400, "default"),
        ("POST", "/statuses", MALFORMED | XML, b"{", 415, ""),
        ("POST", "/statuses", MALFORMED, b"type=O", 400, "description"),
        ("POST", "/statuses", MALFORMED, b"description=Packed", 400, "quote"),
        ("POST", "/statuses", STALE, b"description=Packed", 412, ""),
        ("GET", "/stores/99/statuses?page=x", MALFORMED, b"", 400, "page"),
        ("GET", "/stores/99/statuses", MALFORMED, b"", 404, "store"),
    ],
)
def test_what_the_request_alone_says_is_refused_first(
    client: FlaskClient,
    method: str,
    address: str,
    headers: dict[str, str],
    body: bytes,
    code: int,
    word: str,
) -> None:
    response = client.open(
        f"/api/2.0{address}", method=method, headers=headers, data=body
    )

    assert_error(response, code)
    assert word in response.get_json()["message"]


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_415_goes_before_400(client: FlaskClient, method: str) -> None:
    address = {"POST": "/statuses", "PUT": "/statuses/2?lang_code=xx"}[method]
    response = client.open(
        f"/api/2.0{address}", method=method, headers=XML, data=b"{\xff"
    )

    assert_error(response, 415)


@pytest.mark.parametrize("store_id", ["2", "99", "abc"])
def test_other_stores_stay_hidden_whatever_the_method(
    bound_client: FlaskClient, store_id: str
) -> None:
    addresses = f"/stores/{store_id}", f"/stores/{store_id}/statuses/999"
    for method, address in product(["GET", "HEAD"], addresses):
        response = bound_client.open(f"/api/2.0{address}", method=method)

        assert response.status_code == 403


@pytest.mark.parametrize("store_id", ["1", "2", "99"])
def test_options_and_wrong_methods_look_at_the_address_alone(
    bound_client: FlaskClient, store_id: str
) -> None:
    address = f"/api/2.0/stores/{store_id}/statuses/999"
    options, wrong = bound_client.options(address), bound_client.patch(address)

    assert (options.status_code, wrong.status_code) == (204, 405)
    assert options.headers["Allow"] == "GET, HEAD, PUT, OPTIONS"
    assert set(wrong.headers["Allow"].split(", ")) == {"GET", "HEAD", "PUT", "OPTIONS"}


def test_failure_is_a_500_in_json_that_tells_nothing(database: str) -> None:
    def fail() -> None:
        raise RuntimeError("a secret")

    with service(database, TESTING=False, ORDER_STATUSES_IDENTIFY=fail) as app:
        response = app.test_client().get("/api/2.0/statuses")

    assert_error(response, 500)
    assert "secret" not in response.text


@pytest.mark.parametrize("query", ["page=0", "page=%FF", "items_per_page=x"])
def test_wrong_method_goes_before_a_wrong_query(
    client: FlaskClient, query: str
) -> None:
    assert client.put(f"/api/2.0/statuses?{query}").status_code == 405


@pytest.mark.parametrize(
    "address", ["/api.php?_d=//statuses", "/api//statuses", "/api/2.0//statuses"]
)
def test_double_slash_is_no_redirect(client: FlaskClient, address: str) -> None:
    response = client.get(address, headers={"Host": "evil.example"})

    assert response.status_code == 404
    assert response.content_type == "application/json"
