"""The page in a real browser: what a person sees and does there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import httpx
import pytest

from .browser import CHROMIUM, Visit, chromium, visiting
from .conftest import ADMINISTRATOR, KEY, fill
from .servers import flask_run, gunicorn, nginx_by_tls
from .test_openapi import operations, success

if TYPE_CHECKING:  # make test runs without Playwright
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow

REFUSED = "Failed to load resource: the server responded with a status of "


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        needed = f"These tests need {CHROMIUM}: apt-get install chromium"
        pytest.fail(needed) if os.environ.get("CI") else pytest.skip(needed)
    with chromium() as browser:
        yield browser


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    with visiting(browser) as visit:
        yield visit


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/statuses.db"


class Service(NamedTuple):
    url: str
    needs_key: bool


@pytest.fixture(params=["gunicorn", "flask run"])
def service(request: pytest.FixtureRequest, database_url: str) -> Iterator[Service]:
    """The service on a fresh database, in production and on a developer's machine."""
    if request.param == "gunicorn":
        fill(database_url)
        with gunicorn(database_url) as url:
            yield Service(url, needs_key=True)
    else:
        with flask_run(database_url, "127.0.0.1") as server:
            yield Service(server.url, needs_key=False)


def enter(visit: Visit, service: Service) -> None:
    """Open the address of the service, and authorize where that is needed."""
    visit.open(service.url)
    assert visit.page.url == f"{service.url}/api/2.0/docs"
    if service.needs_key:
        visit.authorize(ADMINISTRATOR, KEY + ADMINISTRATOR)


def test_person_lists_and_creates_statuses(visit: Visit, service: Service) -> None:
    enter(visit, service)
    before = visit.execute("statuses_index")
    created = visit.execute("statuses_create", '{"description": "Packed"}')
    after = visit.execute("statuses_index")

    assert (before.status, created.status, after.status) == (200, 201, 200)
    assert '"description": "Processed"' in before.body
    assert '"description": "Packed"' not in before.body
    assert '"description": "Packed"' in after.body
    assert visit.problems == []
    assert visit.hosts == {httpx.URL(service.url).netloc.decode()}


def test_person_sees_what_is_wrong(visit: Visit, service: Service) -> None:
    enter(visit, service)
    refused = visit.execute("statuses_create", '{"type": "O"}')

    assert refused.status == 400
    assert "Missing data for required field." in refused.body
    assert visit.problems == [f"{REFUSED}400 (BAD REQUEST)"]


def test_every_operation_works_as_it_stands(visit: Visit, service: Service) -> None:
    document = httpx.get(f"{service.url}/api/openapi.json").json()
    expected = {
        operation["operationId"]: success(operation)
        for operation in operations(document).values()
    }

    enter(visit, service)
    shown = {name: visit.execute(name).status for name in expected}

    assert shown == expected
    assert visit.problems == []


def test_list_is_complete_as_it_stands(visit: Visit, service: Service) -> None:
    enter(visit, service)
    listed = visit.execute("statuses_index")

    assert listed.body.count('"status_id"') == 7


def test_page_of_one_prefix_leads_to_that_of_the_other(
    visit: Visit, database_url: str
) -> None:
    with flask_run(database_url, "127.0.0.1") as server:
        visit.open(server.url)
        visit.page.get_by_role("link", name="/api", exact=True).click()
        visit.page.wait_for_url(f"{server.url}/api/docs")
        listed = visit.execute("statuses_index")

    assert listed.body.startswith('{\n  "statuses": [')
    assert visit.problems == []


def test_calls_need_a_key_and_the_page_does_not(
    visit: Visit, database_url: str
) -> None:
    fill(database_url)
    with gunicorn(database_url) as url:
        visit.open(url)
        refused = visit.execute("statuses_index")

    assert (refused.status, "Unauthorized" in refused.body) == (401, True)
    assert visit.problems == [f"{REFUSED}401 (UNAUTHORIZED)"]


def test_known_params_are_found(visit: Visit, database_url: str) -> None:
    with flask_run(database_url, "127.0.0.1") as server:
        visit.open(server.url)
        row = visit.page.get_by_role("row", name="gift_cert_status")

        assert not row.is_visible()
        visit.page.get_by_text("Known params", exact=True).click()
        assert row.is_visible()


def test_page_works_by_tls_and_under_another_prefix(
    visit: Visit, database_url: str, tmp_path: Path
) -> None:
    fill(database_url)
    with (
        gunicorn(database_url, SCRIPT_NAME="/shop") as url,
        nginx_by_tls(url, tmp_path) as address,
    ):
        visit.open(f"{address}/shop/")
        assert visit.page.url == f"{address}/shop/api/2.0/docs"
        visit.authorize(ADMINISTRATOR, KEY + ADMINISTRATOR)
        created = visit.execute("statuses_create")

    assert created.status == 201
    assert visit.problems == []
    assert visit.hosts == {address.removeprefix("https://")}


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("SwaggerUIBundle({", "Unexpected end of input"),
        ("fetch('http://127.0.0.2')", "Content Security Policy"),
        ("document.body.innerHTML = '<p style=\"color: red\">'", "inline style"),
    ],
)
def test_browser_tells_what_is_wrong_with_a_script(
    visit: Visit, database_url: str, script: str, problem: str
) -> None:
    visit.page.route("**/init.js", lambda route: route.fulfill(body=script))
    with flask_run(database_url, "127.0.0.1") as server:
        visit.page.goto(server.url)

        assert not visit.page.locator(".opblock").is_visible()
    assert problem in visit.problems[0]
