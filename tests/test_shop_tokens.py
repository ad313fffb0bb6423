"""A shop without pages, in a process of its own, whose callers have tokens."""

from collections.abc import Iterator

import httpx
import pytest

from .embedding import Wheel, bearer, serving_api_shop
from .servers import Server
from .small_shop import STATUSES

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def api_shop(
    wheel: Wheel, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A shop without pages, whose login is by token."""
    with serving_api_shop(wheel, tmp_path_factory.mktemp("api_shop")) as server:
        yield server


def test_bearer_of_a_token_does_everything(api_shop: Server) -> None:
    with httpx.Client(base_url=api_shop.url, headers=bearer(api_shop)) as manager:
        created = manager.post(STATUSES, json={"description": "Packed"})
        read = manager.get(created.headers["Location"])
        deleted = manager.delete(created.headers["Location"])

    assert (created.status_code, deleted.status_code) == (201, 204)
    assert read.json()["description"] == "Packed"


@pytest.mark.parametrize("kind", ["expired", "forged", "broken", "none"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_bad_token_gets_what_the_routes_of_the_shop_give(
    api_shop: Server, kind: str, method: str
) -> None:
    good = bearer(api_shop)["Authorization"]
    headers = {
        "expired": bearer(api_shop, -60),
        "forged": {"Authorization": f"{good[:-8]}{'x' * 8}"},
        "broken": {"Authorization": "Bearer x"},
        "none": {},
    }[kind]
    own = httpx.get(f"{api_shop.url}/orders", headers=headers)
    ours = httpx.request(method, f"{api_shop.url}{STATUSES}/3", headers=headers)

    assert (ours.status_code, ours.json()) == (own.status_code, own.json())
    assert ours.status_code in {401, 422}
    assert "Traceback" not in api_shop.log.read_text()


def test_options_without_a_token_gets_our_401(api_shop: Server) -> None:
    refused = httpx.options(f"{api_shop.url}{STATUSES}")

    assert (refused.status_code, refused.json()["status"]) == (401, 401)
