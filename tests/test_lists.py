"""Lists: filters, pages, their headers and links, and the two forms of a list."""

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from .conftest import ADMINISTRATOR, client_of, service
from .statuses import IN_STORE, STATUSES, ids, problems

pytestmark = pytest.mark.one_database

ALL = list("1234567")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ALL),
        ("items_per_page=0", ALL),
        ("items_per_page=0&page=2", []),
        ("items_per_page=3", ["1", "2", "3"]),
        ("items_per_page=3&page=2", ["4", "5", "6"]),
        ("items_per_page=3&page=3", ["7"]),
        ("items_per_page=3&page=9", []),
        ("items_per_page=100", ALL),
        ("items_per_page=3&items_per_page=x&page=3&page=0", ["7"]),
        ("items_per_page=999999999999999999&page=999999999999999999", []),
        ("type=G", ["8", "9", "10", "11"]),
        ("type=G&type=O&items_per_page=1&page=2", ["9"]),
        *[(f"type={type_}", []) for type_ in ("X", "OO", "o", "O%0d%0a")],
        *[(f"type={type_}", []) for type_ in ("%00", "%ff", "%ED%A0%80")],
        ("sort_by=position&company_id=7", ALL),
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
        ("params[repay=N&params=N", ALL),
    ],
)
def test_list_is_cut_as_its_query_says(
    client: FlaskClient, query: str, expected: list[str]
) -> None:
    for address in (STATUSES, IN_STORE):
        assert ids(client.get(f"{address}?{query}")) == expected


TOO_LONG = "Must be a whole number of at most 18 digits."


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("-1", "Must be greater than or equal to "),
        *[(value, TOO_LONG) for value in ("x", "1.0", "%2B1", "1%00", "%ff", "%d9%a3")],
        *[(value, TOO_LONG) for value in ("1" + "0" * 18, "9" * 30, "9" * 5000)],
    ],
)
@pytest.mark.parametrize("name", ["page", "items_per_page"])
def test_invalid_page_is_400_and_says_why(
    client: FlaskClient, name: str, value: str, problem: str
) -> None:
    for address in (STATUSES, IN_STORE, "/api/2.0/stores"):
        # Of repeated parameters the first counts.
        wrong = problems(client.get(f"{address}?{name}={value}&{name}=3"))

        assert list(wrong) == [name]
        assert wrong[name][0].startswith(problem)


def test_first_page_is_1(client: FlaskClient) -> None:
    refused = client.get(f"{STATUSES}?page=0")

    assert problems(refused) == {"page": ["Must be greater than or equal to 1."]}


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
    response = client.get(f"{STATUSES}?{query}")
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
    query = "lang_code=ru&items_per_page=2&x=%3E+1&x=2"
    address, read = f"{STATUSES}?{query}", []
    while address:
        response = client.get(address)
        read += ids(response)
        assert all(s["lang_code"] == "ru" for s in response.get_json())
        address = links(response).get("next", "")

    assert read == ALL
    assert links(response)["last"] == f"{STATUSES}?{query}&page=4"


def test_link_that_a_proxy_would_refuse_is_left_out(client: FlaskClient) -> None:
    def listed(filler: int) -> TestResponse:
        return client.get(f"{STATUSES}?items_per_page=3&x={'y' * filler}")

    longest = 2000 - len(listed(0).headers["Link"])  # of three links, each with it

    assert len(listed(longest // 3).headers["Link"]) in range(1998, 2001)
    for filler in (longest // 3 + 1, 8000):
        assert "Link" not in listed(filler).headers
        assert listed(filler).headers["X-Total-Count"] == "7"
        assert ids(listed(filler)) == ["1", "2", "3"]


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
    plain = client.get(f"{STATUSES}{query}").get_json()

    assert body == {"statuses": plain, "params": params}
    assert len(plain) == expected


def test_setting_gives_the_envelope_at_the_versioned_address_too(database: str) -> None:
    with service(database, ORDER_STATUSES_LIST_FORM="envelope") as app:
        client = client_of(app, ADMINISTRATOR)
        versioned, unversioned = client.get(STATUSES), client.get("/api/statuses")

    assert versioned.json == unversioned.json
    assert versioned.get_json().keys() == {"statuses", "params"}
