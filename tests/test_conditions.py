"""Conditional requests: ETag, If-None-Match, If-Match (RFC 9110 §13)."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from .conftest import ADMINISTRATOR, client_of, service

pytestmark = pytest.mark.one_database

BACKORDERED = "/api/2.0/statuses/3"
IN_STORE = "/api/2.0/stores/1/statuses/3"
OTHER = '"of-something-else"'


def etag(client: FlaskClient, address: str = BACKORDERED) -> str:
    return client.get(address).headers["ETag"]


def test_response_may_be_cached_but_is_validated(client: FlaskClient) -> None:
    headers = client.get(BACKORDERED).headers

    assert headers["ETag"].startswith('"')
    assert headers["Cache-Control"] == "private, no-cache"
    assert headers["Vary"] == "Authorization, Cookie"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("pattern", ["{}", "W/{}", "*", OTHER + ", {}"])
def test_what_the_client_has_is_not_sent_again(
    client: FlaskClient, method: str, pattern: str
) -> None:
    known = etag(client)

    response = client.open(
        BACKORDERED, method=method, headers={"If-None-Match": pattern.format(known)}
    )

    assert (response.status_code, response.data) == (304, b"")
    assert response.headers["ETag"] == known
    assert response.headers["Vary"] == "Authorization, Cookie"


def test_what_the_client_has_not_is_sent(client: FlaskClient) -> None:
    response = client.get(BACKORDERED, headers={"If-None-Match": OTHER})

    assert response.status_code == 200


def test_reading_under_a_condition(client: FlaskClient) -> None:
    right = client.get(BACKORDERED, headers={"If-Match": etag(client)})
    wrong: Any = client.get(BACKORDERED, headers={"If-Match": OTHER})

    assert right.status_code == 200
    assert (wrong.status_code, wrong.json["status"]) == (412, 412)


WRITES = [
    ("PUT", BACKORDERED, {"data": "description=x"}),
    ("DELETE", BACKORDERED, {}),
    ("PUT", IN_STORE, {"data": "email_subj=x"}),
]


@pytest.mark.parametrize("pattern", ["{}", "*", OTHER + ", {}"])
@pytest.mark.parametrize(("method", "address", "body"), WRITES)
def test_write_goes_on_if_nothing_has_changed(
    client: FlaskClient, method: str, address: str, body: Any, pattern: str
) -> None:
    headers = {"If-Match": pattern.format(etag(client, address))}

    response = client.open(address, method=method, headers=headers, **body)

    assert response.status_code in {200, 204}


@pytest.mark.parametrize(
    "header",
    [
        ("If-Match", OTHER, "It has changed since you read it; GET it again."),
        ("If-None-Match", "{}", "It matches If-None-Match, so nothing was changed."),
        ("If-None-Match", "*", "It matches If-None-Match, so nothing was changed."),
    ],
)
@pytest.mark.parametrize(("method", "address", "body"), WRITES)
def test_write_stops_if_its_condition_does_not_hold(
    client: FlaskClient,
    method: str,
    address: str,
    body: Any,
    header: tuple[str, str, str],
) -> None:
    name, pattern, why = header
    before = client.get(address)

    refused: Any = client.open(
        address,
        method=method,
        headers={name: pattern.format(before.headers["ETag"])},
        **body,
    )

    assert refused.status_code == 412
    assert refused.json == {"message": f"Precondition Failed: {why}", "status": 412}
    assert client.get(address).data == before.data


def test_integrators_do_not_overwrite_each_other(client: FlaskClient) -> None:
    seen = {"If-Match": etag(client)}

    first = client.put(BACKORDERED, json={"description": "First"}, headers=seen)
    second = client.put(BACKORDERED, json={"description": "Second"}, headers=seen)

    assert (first.status_code, second.status_code) == (200, 412)


def test_condition_is_about_the_language_of_the_query(client: FlaskClient) -> None:
    russian = f"{BACKORDERED}?lang_code=ru"
    seen = {"If-Match": etag(client, russian)}
    client.put(BACKORDERED, json={"description": "In English"})

    assert (
        client.put(russian, json={"description": "x"}, headers=seen).status_code == 200
    )
    assert (
        client.put(russian, json={"description": "y"}, headers=seen).status_code == 412
    )


# What nginx, Apache and Flask-Compress make of a tag; several may do it.
MARKED = ["W/{}"] + [
    f'{weak}"{{tag}}{ending}"'
    for weak in ("", "W/")
    for ending in (":gzip -gzip :br -br :zstd -zstd :deflate -deflate --gzip").split()
]


@pytest.mark.parametrize("pattern", MARKED)
def test_marks_of_a_compressor_are_taken_off(client: FlaskClient, pattern: str) -> None:
    known = etag(client)
    marked = pattern.format(known, tag=known.strip('"'))
    other = pattern.format(OTHER, tag="other")

    def status_code(method: str, **headers: str) -> int:
        named = {name.replace("_", "-"): tag for name, tag in headers.items()}
        body = {"description": "x"}
        response = client.open(BACKORDERED, method=method, headers=named, json=body)
        return response.status_code

    assert status_code("GET", If_None_Match=marked) == 304
    assert status_code("GET", If_None_Match=other) == 200
    assert status_code("GET", If_Match=marked) == 200
    assert status_code("PUT", If_None_Match=marked) == 412
    assert status_code("PUT", If_Match=other) == 412
    assert status_code("PUT", If_Match=marked) == 200
    assert status_code("PUT", If_Match=marked) == 412  # it has changed now


@pytest.mark.parametrize("ending", ["-gzip-gzip", ":br--gzip", ":lz4", "gzip", ":GZIP"])
def test_marks_are_taken_off_once(client: FlaskClient, ending: str) -> None:
    tag = etag(client).strip('"') + ending

    refused = client.delete(BACKORDERED, headers={"If-Match": f'"{tag}"'})

    assert refused.status_code == 412


@pytest.fixture
def strict_client(database: str) -> Iterator[FlaskClient]:
    """A client of a service that wants If-Match."""
    with service(database, ORDER_STATUSES_REQUIRE_IF_MATCH="yes") as app:
        yield client_of(app, ADMINISTRATOR)


@pytest.mark.parametrize(("method", "address", "body"), WRITES)
def test_condition_may_be_required(
    strict_client: FlaskClient, method: str, address: str, body: Any
) -> None:
    headers = {"If-Match": etag(strict_client, address)}

    without = strict_client.open(address, method=method, **body)
    under_it = strict_client.open(address, method=method, headers=headers, **body)

    assert (without.status_code, (without.json or {})["status"]) == (428, 428)
    assert under_it.status_code in {200, 204}


def test_required_condition_comes_after_404(strict_client: FlaskClient) -> None:
    many = {"params": {f"p{n}": "x" for n in range(64)}}

    assert strict_client.delete("/api/2.0/statuses/99").status_code == 404
    assert strict_client.put(BACKORDERED, json={}).status_code == 400
    assert strict_client.put(BACKORDERED, json=many).status_code == 428
    assert strict_client.delete("/api/2.0/statuses/1").status_code == 428


def test_condition_of_a_create_is_never_required(strict_client: FlaskClient) -> None:
    created = strict_client.post("/api/2.0/statuses", data="description=Packed")

    assert created.status_code == 201


MALFORMED = ["", "abc", '"x', ",", '"a" "b"', '*, "x"', '"a b"', "W/abc", "'x'"]


@pytest.mark.parametrize("value", MALFORMED)
@pytest.mark.parametrize("name", ["If-Match", "If-None-Match"])
@pytest.mark.parametrize(("method", "address", "body"), WRITES)
def test_malformed_condition_is_400_and_changes_nothing(
    client: FlaskClient, method: str, address: str, body: Any, name: str, value: str
) -> None:
    before = client.get(address)

    refused: Any = client.open(address, method=method, headers={name: value}, **body)

    assert refused.status_code == 400
    assert "quote the ETag" in refused.json["message"]
    assert client.get(address).data == before.data


@pytest.mark.parametrize("value", MALFORMED)
@pytest.mark.parametrize("name", ["If-Match", "If-None-Match"])
def test_malformed_condition_of_a_get_is_ignored(
    client: FlaskClient, name: str, value: str
) -> None:
    assert client.get(BACKORDERED, headers={name: value}).status_code == 200


@pytest.mark.parametrize("pattern", ["{}", "*", ', {} ,, "b"'])
def test_create_is_compared_with_the_list(client: FlaskClient, pattern: str) -> None:
    seen = {"If-Match": pattern.format(etag(client, "/api/2.0/statuses"))}

    first = client.post("/api/2.0/statuses", json={"description": "A"}, headers=seen)
    second = client.post("/api/2.0/statuses", json={"description": "B"}, headers=seen)

    assert first.status_code == 201
    assert second.status_code == (201 if pattern == "*" else 412)


def test_errors_have_no_etag(app: Flask, client: FlaskClient) -> None:
    assert "ETag" not in client.get("/api/2.0/statuses/99").headers
