"""Methods: HEAD, OPTIONS, those that an address does not have, and what they allow."""

import pytest
from flask.testing import FlaskClient

from .contract import PREFIXES
from .statuses import STATUSES, assert_error

pytestmark = pytest.mark.one_database

METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"}
ALLOWED = {
    "/statuses": "GET, HEAD, POST, OPTIONS",
    "/statuses/2": "GET, HEAD, PUT, DELETE, OPTIONS",
    "/stores": "GET, HEAD, OPTIONS",
    "/stores/1": "GET, HEAD, OPTIONS",
    "/stores/1/statuses": "GET, HEAD, OPTIONS",
    "/stores/1/statuses/2": "GET, HEAD, PUT, OPTIONS",
    "/openapi.json": "GET, HEAD, OPTIONS",
}


@pytest.mark.parametrize(
    "address", [*ALLOWED, "/statuses?page=0", "/statuses/2?lang_code=xx"]
)
def test_head_is_get_without_a_body(client: FlaskClient, address: str) -> None:
    got, headers = client.get(f"/api/2.0{address}"), client.head(f"/api/2.0{address}")

    assert headers.status_code == got.status_code
    assert headers.headers == got.headers
    assert headers.data == b""


@pytest.mark.parametrize("address", ALLOWED)
def test_allow_lists_the_methods_of_the_address(
    client: FlaskClient, address: str
) -> None:
    has = ALLOWED[address]
    for prefix in PREFIXES:
        asked = client.options(prefix + address)

        assert (asked.status_code, asked.data) == (204, b"")
        assert asked.headers["Allow"] == has
        for method in METHODS - set(has.split(", ")):
            refused = client.open(prefix + address, method=method)
            assert_error(refused, 405)
            assert refused.headers["Allow"] == has


@pytest.mark.parametrize("store_id", ["1", "2", "99"])
def test_options_and_wrong_methods_look_at_the_address_alone(
    bound_client: FlaskClient, store_id: str
) -> None:
    address = f"/api/2.0/stores/{store_id}/statuses/999"
    options, wrong = bound_client.options(address), bound_client.patch(address)

    assert (options.status_code, wrong.status_code) == (204, 405)
    for response in (options, wrong):
        assert response.headers["Allow"] == ALLOWED["/stores/1/statuses/2"]


@pytest.mark.parametrize("override", ["_method=DELETE", "a=b"])
def test_method_overrides_are_ignored(client: FlaskClient, override: str) -> None:
    headers = {"X-HTTP-Method-Override": "DELETE", "X-HTTP-Method": "DELETE"}
    address = f"{STATUSES}/3?{override}"

    responses = [
        client.get(address, headers=headers),
        client.post(address, headers=headers),
        client.put(f"{STATUSES}/3", data=f"description=B&{override}"),
        client.get(f"{STATUSES}/3"),
    ]

    assert [response.status_code for response in responses] == [200, 405, 200, 200]
