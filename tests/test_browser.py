"""A real browser: a person in the page of the API, and pages of other origins."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import pytest

from .browser import CHROMIUM, Visit, chromium, visiting
from .conftest import ADMINISTRATOR, KEY, basic, fill
from .docs import code, section
from .document import operations, success
from .embedding import CORS, Wheel, bearer, serving_api_shop
from .servers import (
    flask_run,
    free_port,
    gunicorn,
    is_open,
    nginx_by_tls,
    nginx_of,
    wait_until,
)

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


def test_page_of_a_shop_sends_its_tokens(
    visit: Visit, wheel: Wheel, tmp_path: Path
) -> None:
    docs = "create_blueprint(docs=True)"
    with serving_api_shop(wheel, tmp_path, mount=docs) as shop:
        visit.open(f"{shop.url}/api/2.0/docs")
        refused = visit.execute("statuses_index")
        visit.authorize(bearer(shop)["Authorization"].removeprefix("Bearer "))
        listed = visit.execute("statuses_index")

    assert (refused.status, listed.status) == (401, 200)
    assert '"description": "Processed"' in listed.body
    assert visit.problems == [f"{REFUSED}401 (UNAUTHORIZED)"]


# Pages of other origins.

NAMED = "https://admin.shop.example"  # in the examples of the documentation


class EmptyPage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>Another site</title>")

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def another_site() -> Iterator[str]:
    """Serve a page at another host and port; yield its origin."""
    with ThreadingHTTPServer(("127.0.0.1", 0), EmptyPage) as server:
        Thread(target=server.serve_forever).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


class Api(NamedTuple):
    """An API that a page of *origin* may use, and what it sends to be known."""

    url: str
    origin: str
    credentials: dict[str, str]


@pytest.fixture(params=["a shop with Flask-CORS", "the service behind nginx"])
def api(
    request: pytest.FixtureRequest, database_url: str, tmp_path: Path
) -> Iterator[Api]:
    """The API, set up as the documentation says."""
    with another_site() as origin:
        if request.param.startswith("a shop"):
            wheel: Wheel = request.getfixturevalue("wheel")
            cors = CORS.replace(NAMED, origin)
            with serving_api_shop(wheel, tmp_path, cors) as shop:
                yield Api(f"{shop.url}/api/2.0", origin, bearer(shop))
        else:
            known = {"Authorization": basic(ADMINISTRATOR, KEY + ADMINISTRATOR)}
            with service_with_cors(database_url, origin, tmp_path) as url:
                yield Api(f"{url}/api/2.0", origin, known)


@contextmanager
def service_with_cors(database_url: str, origin: str, folder: Path) -> Iterator[str]:
    """Serve as docs/deployment.md says of CORS; yield the address of nginx."""
    fill(database_url)
    (line,) = code(section("CORS"))
    (headers,) = code(section("CORS"), "nginx")
    name, value = line.strip().split("=")
    settings: dict[str, Any] = {name: value.strip('"').replace(NAMED, origin)}
    port = free_port()
    with gunicorn(database_url, **settings) as url:
        location = f"""
            listen 127.0.0.1:{port};
            proxy_set_header Host $http_host;
            location /api {{
                proxy_pass {url};
                {headers.replace(NAMED, origin)}
            }}
        """
        with nginx_of(location, folder):
            wait_until(lambda: is_open(port))
            yield f"http://127.0.0.1:{port}"


class Fetched(NamedTuple):
    """What the script of a page may see of a response."""

    status: int
    headers: dict[str, str]
    body: str


FETCH = """async ([url, options]) => {
  const response = await fetch(url, options);
  return [response.status, Object.fromEntries(response.headers), await response.text()];
}"""


def fetch(visit: Visit, api: Api, path: str, **options: Any) -> Fetched:
    """Let the script of the page that is open send a request.

    :raise Error: the browser does not let it
    """
    options["headers"] = api.credentials | options.pop("headers", {})
    return Fetched(*visit.page.evaluate(FETCH, [f"{api.url}{path}", options]))


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def test_page_of_a_trusted_origin_reads_and_writes(visit: Visit, api: Api) -> None:
    visit.page.goto(api.origin)
    listed = fetch(visit, api, "/statuses?items_per_page=3")
    tag = {"If-Match": fetch(visit, api, "/statuses/2").headers["etag"]}
    change = {"method": "PUT", "body": "description=Sent", "headers": FORM | tag}
    written = [fetch(visit, api, "/statuses/2", **change).status for _ in range(2)]
    new = {"method": "POST", "body": '{"description": "Packed"}'}
    created = fetch(
        visit, api, "/statuses", **new, headers={"Content-Type": "application/json"}
    )
    address = created.headers["location"].removeprefix("/api/2.0")
    deleted = fetch(visit, api, address, method="DELETE")

    assert listed.headers["x-total-count"] == "7"
    assert 'rel="next"' in listed.headers["link"]
    assert written == [200, 412]
    assert (created.status, deleted.status) == (201, 204)
    assert '"description":"Sent"' in fetch(visit, api, "/statuses/2").body
    assert fetch(visit, api, "/statuses/999").status == 404


def test_page_of_another_origin_does_nothing(visit: Visit, api: Api) -> None:
    from playwright.sync_api import Error

    before = httpx.get(f"{api.url}/statuses", headers=api.credentials).json()
    with another_site() as origin:
        visit.page.goto(origin)
        for options in (
            {},
            {"method": "PUT", "body": "description=Owned", "headers": FORM},
            {"method": "DELETE"},
        ):
            with pytest.raises(Error, match="Failed to fetch"):
                fetch(visit, api, "/statuses/3", **options)
        # Without an answer that it could read, and so without a preflight.
        simple = {"method": "POST", "body": "description=Owned", "mode": "no-cors"}
        fetch(visit, api, "/statuses", **simple, headers=FORM)

    assert httpx.get(f"{api.url}/statuses", headers=api.credentials).json() == before
    assert "CORS policy" in visit.problems[0]
