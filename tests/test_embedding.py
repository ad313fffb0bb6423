"""The wheel, in an environment of its own: in shops, and as the service."""

import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from pathlib import Path
from typing import NamedTuple

import httpx
import psycopg
import pytest

from order_statuses import config

from .conftest import Databases
from .embedding import (
    FRESH_APP,
    PAGE,
    Shop,
    Wheel,
    build_shop,
    call,
    clean_environment,
    clone,
    examples,
    migrate,
    mount,
)
from .servers import ROOT, Server, running
from .test_deployment import blocks

pytestmark = pytest.mark.slow

SET_UP, *_ = examples("sh")
(ASK,) = re.findall("`(curl .*)`", PAGE)
(INSTALLED,) = blocks("As a package")

# The wheel.


def test_wheel_holds_the_package_and_nothing_else(wheel: Wheel) -> None:
    names = {"order_statuses.py": "__init__.py", "gunicorn.conf.py": "gunicorn_conf.py"}
    modules = {file.name for file in ROOT.glob("*.py")}
    folders = {
        str(file.relative_to(ROOT))
        for folder in ("migrations", "page")
        for file in (ROOT / folder).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    held = zipfile.ZipFile(wheel.file).namelist()

    assert {name for name in held if ".dist-info/" not in name} == {
        f"order_statuses/{name}"
        for name in {names.get(module, module) for module in modules}
        | folders
        | {"openapi.yaml", "seed.json", "py.typed"}
    }
    assert all(Path(name).stem.isidentifier() for name in held if name.endswith(".py"))


IMPORTED_BY_BLUEPRINT = """
import ast, pathlib, sys
from order_statuses import create_blueprint

create_blueprint()

for name, module in sys.modules.items():
    if name.startswith("order_statuses."):
        for statement in ast.parse(pathlib.Path(module.__file__).read_text()).body:
            if isinstance(statement, ast.Import):
                print(*(alias.name for alias in statement.names))
            if isinstance(statement, ast.ImportFrom) and not statement.level:
                print(statement.module)
"""
# Flask brings what it is made of.
BROUGHT = {"order_statuses", "blinker", "click", "jinja2"}


def test_wheel_asks_for_what_the_blueprint_imports_and_no_more(wheel: Wheel) -> None:
    held = zipfile.ZipFile(wheel.file)
    (metadata,) = (name for name in held.namelist() if name.endswith("/METADATA"))
    required = message_from_bytes(held.read(metadata)).get_all("Requires-Dist", [])
    asked = {re.split("[>=]", text)[0] for text in required if "extra" not in text}
    code = [str(wheel.python), "-c", IMPORTED_BY_BLUEPRINT]
    names = call(code, wheel.file.parent).split()
    imported = {name.partition(".")[0] for name in names} - sys.stdlib_module_names

    assert imported - BROUGHT == asked


IMPORT_ALL = """
import os, pkgutil, sys
import alembic, flask_sqlalchemy, marshmallow, sqlalchemy.orm, urllib3

OPENING = {"open", "socket.__new__", "sqlite3.connect", "_thread.start_new_thread"}

class Environment(dict):
    def __getitem__(self, name):
        print("environment", name)
        return super().__getitem__(name)
    def get(self, name, default=None):
        print("environment", name)
        return super().get(name, default)

def report(event, arguments):
    if event in OPENING and not str(arguments[0]).endswith((".py", ".pyc")):
        print(event, arguments)

os.environ = Environment(os.environ)
sys.addaudithook(report)

import order_statuses
for module in [m.name for m in pkgutil.iter_modules(order_statuses.__path__)]:
    if module not in ("gunicorn_conf", "wsgi"):
        __import__("order_statuses." + module)
"""


def test_import_opens_nothing_and_reads_no_environment(
    wheel: Wheel, tmp_path: Path
) -> None:
    assert call([str(wheel.python), "-c", IMPORT_ALL], tmp_path) == ""


def test_package_says_what_to_import(wheel: Wheel, tmp_path: Path) -> None:
    said = call(
        [str(wheel.python), "-c", "import order_statuses; help(order_statuses)"],
        tmp_path,
    )

    assert "from order_statuses import create_blueprint" in said


# The service, installed as a package.


def test_service_runs_in_any_folder(wheel: Wheel, tmp_path: Path) -> None:
    python = str(wheel.python)
    init, serve = (
        [python, "-m", *line.split()] for line in INSTALLED.strip().splitlines()
    )
    call(init, tmp_path)
    add_user = [*init[:-1], "add-user", "me@shop.example"]
    key = call(add_user, tmp_path).strip()
    with running(serve, tmp_path, clean_environment() | {"PORT": "0"}) as server:
        address = f"{server.url}/api/2.0/statuses"
        listed = httpx.get(address, auth=("me@shop.example", key))

    assert len(listed.json()) == 7
    assert list(tmp_path.iterdir()) == []
    instance = wheel.python.parent.parent / "var" / "order_statuses.app-instance"
    assert (instance / "order_statuses.db").exists()


def test_service_that_cannot_make_its_folder_says_so(tmp_path: Path) -> None:
    clone(tmp_path / "source")
    (tmp_path / "source" / "instance").write_text("a file, not a folder")
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "order-statuses", "init"]
    ended = subprocess.run(
        command,
        cwd=tmp_path / "source",
        env=clean_environment(),
        capture_output=True,
        text=True,
    )

    assert ended.returncode == 3
    assert ended.stderr.startswith("DATABASE_URL must be a file in a folder that can")
    assert ended.stderr.count("\n") == 1


# The fresh application of docs/embedding.md.


def test_example_is_short() -> None:
    lines = [line for line in FRESH_APP.splitlines() if line]

    assert len(lines) <= 10


@pytest.mark.parametrize("is_cloned", [False, True])
def test_newcomer_gets_the_default_statuses(
    wheel: Wheel, tmp_path: Path, is_cloned: bool
) -> None:
    fresh_app = FRESH_APP
    if is_cloned:  # into the shop, instead of an installation: without the front door
        clone(tmp_path / "order_statuses")
        fresh_app = FRESH_APP.replace(
            "order_statuses import", "order_statuses.api import"
        )
    python = sys.executable if is_cloned else str(wheel.python)
    (tmp_path / "app.py").write_text(fresh_app)
    *commands, _ = ([python, "-m", *line.split()] for line in SET_UP.splitlines())
    key = [call(command, tmp_path) for command in commands][-1].strip()
    with serving_shop(python, tmp_path, "app:create_app()") as server:
        ask = ASK.replace("KEY", key).replace("http://127.0.0.1:5000", server.url)
        response = httpx.Response(200, text=call(["sh", "-c", ask], tmp_path))

    assert [status["description"] for status in response.json()][:2] == [
        "Processed",
        "Complete",
    ]
    assert len(response.json()) == 7


@contextmanager
def serving_shop(
    python: str, folder: Path, application: str, **environment: str
) -> Iterator[Server]:
    """Serve the *application* of *folder*."""
    options = ["--bind=127.0.0.1:0", "--no-control-socket"]
    command = [python, "-m", "gunicorn", *options, application]
    with running(command, folder, clean_environment() | environment) as server:
        yield server


# A shop that has everything.


class OpenShop(NamedTuple):
    """The shop that has mounted the API, and its server."""

    shop: Shop
    server: Server
    database: str

    @contextmanager
    def visitor(
        self, name: str | None = None, host: str = "localhost"
    ) -> Iterator[httpx.Client]:
        """Return a visitor, with a cookie of the shop's login or without."""
        headers = {"Host": host}
        with httpx.Client(base_url=self.server.url, headers=headers) as visitor:
            if name:
                (token,) = re.findall('value="(.+)"', visitor.get("/login").text)
                form = {"email": f"{name}@shop.example", "password": name}
                visitor.post("/login", data={**form, "csrf_token": token})
            yield visitor


@pytest.fixture(scope="module")
def shop(
    wheel: Wheel, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OpenShop]:
    """The shop, open."""
    folder = tmp_path_factory.mktemp("shop") / "shop"
    url = config.database_url(databases.create())
    database = url.render_as_string(hide_password=False)
    shop = build_shop(wheel.python, folder, database)
    mount(shop)
    for module in {file.name for file in ROOT.glob("*.py")} - {"order_statuses.py"}:
        if not (folder / module).exists():
            (folder / module).write_text("raise ImportError('This is the shop.')")
    migrate(shop)
    shop.call("flask", "order-statuses", "seed")
    shop.call("flask", "seed")
    shop.call("flask", "publish-stores")
    with serving_shop(shop.python, folder, "wsgi:app", **shop.environment) as server:
        yield OpenShop(shop, server, database)


@pytest.fixture
def stranger(shop: OpenShop) -> Iterator[httpx.Client]:
    with shop.visitor() as stranger:
        yield stranger


@pytest.fixture
def customer(shop: OpenShop) -> Iterator[httpx.Client]:
    with shop.visitor("customer") as customer:
        yield customer


@pytest.fixture
def manager(shop: OpenShop) -> Iterator[httpx.Client]:
    with shop.visitor("manager") as manager:
        yield manager


def test_pages_stay_html(manager: httpx.Client) -> None:
    assert manager.get("/").text.startswith("<h1>Your orders</h1>")
    assert manager.get("/nothing").text == "<h1>Not in this shop</h1>"
    assert manager.get("/api/2.0/nothing").json()["status"] == 404


def test_stranger_is_refused_in_json(stranger: httpx.Client) -> None:
    refused = stranger.get("/api/2.0/statuses")

    assert (refused.status_code, refused.json()["status"]) == (401, 401)
    assert "WWW-Authenticate" not in refused.headers
    assert stranger.get("/").headers["Location"] == "/login"


def test_customer_reads_alone(customer: httpx.Client) -> None:
    assert len(customer.get("/api/2.0/statuses").json()) == 7
    refused = customer.put("/api/2.0/statuses/2", json={"description": "x"})
    assert (refused.status_code, refused.json()["status"]) == (403, 403)


def test_manager_does_everything(manager: httpx.Client) -> None:
    created = manager.post("/api/2.0/statuses", json={"description": "Packed"})
    address = created.headers["Location"]
    updated = manager.put(address, data={"description": "Wrapped"})

    assert (created.status_code, updated.status_code) == (201, 200)
    assert manager.get(address).json()["description"] == "Wrapped"
    assert manager.delete(address).status_code == 204


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "https://evil.example"},
    ],
)
def test_another_site_does_not_use_the_cookie_of_a_manager(
    manager: httpx.Client, headers: dict[str, str]
) -> None:
    change = {"description": "Owned"}
    attack = manager.put("/api/2.0/statuses/4", data=change, headers=headers)

    assert (attack.status_code, attack.json()["status"]) == (403, 403)
    assert manager.get("/api/2.0/statuses/4").json()["description"] == "Failed"


def test_forms_of_the_shop_stay_protected(manager: httpx.Client) -> None:
    assert manager.post("/orders").status_code == 400


def test_mount_beside_the_api_of_the_shop_has_its_own_list_form(
    manager: httpx.Client,
) -> None:
    assert len(manager.get("/api/statuses").json()["statuses"]) == 7
    assert len(manager.get("/api/2.0/statuses").json()) == 7


def test_stores_are_those_of_the_shop(manager: httpx.Client) -> None:
    assert manager.get("/api/2.0/stores").json() == [
        {"company_id": "1", "company": "Main shop"},
        {"company_id": "7", "company": "Outlet"},
    ]


def test_status_of_an_order_is_not_deleted(manager: httpx.Client) -> None:
    refused = manager.delete("/api/2.0/statuses/3")

    assert (refused.status_code, "status: 2." in refused.json()["message"]) == (
        400,
        True,
    )


def test_receiver_of_the_shop_is_called_for_an_update(
    shop: OpenShop, manager: httpx.Client
) -> None:
    manager.put("/api/2.0/statuses/5", json={"description": "Turned down"})

    assert "manager@shop.example changed Turned down" in shop.server.log.read_text()


def test_page_shows_the_status_of_an_order(manager: httpx.Client) -> None:
    label = '<b style="color: #28abf6">Backordered</b>'
    assert label in manager.get("/orders/1").text


COPY_SCHEMA = """
DO $$
DECLARE name text;
BEGIN
    CREATE SCHEMA {schema};
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        EXECUTE format('CREATE TABLE {schema}.%1$I (LIKE %1$I INCLUDING ALL)', name);
        EXECUTE format('INSERT INTO {schema}.%1$I SELECT * FROM %1$I', name);
    END LOOP;
    UPDATE {schema}.order_statuses_text SET description = '{schema}';
END $$
"""


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
def test_tenants_in_copied_schemas_see_their_own_statuses(shop: OpenShop) -> None:
    with psycopg.connect(
        shop.database.replace("+psycopg", ""), autocommit=True
    ) as connection:
        for schema in ("acme", "globex"):
            connection.execute(COPY_SCHEMA.format(schema=schema))

    for schema in ("acme", "globex") * 2:
        with shop.visitor("manager", host=f"{schema}.example") as manager:
            listed = manager.get("/api/2.0/statuses").json()
            assert {status["description"] for status in listed} == {schema}


ONE_SESSION = """
from wsgi import app
from models import Order, db
from order_statuses import list_statuses
from order_statuses import Status

with app.app_context():
    db.session.get(Order, 1).status = "C"
    db.session.get(Status, 2).params = {"color": "#123456"}
    (seen,) = (status for status in list_statuses("O") if status.status == "C")
    assert seen.params == {"color": "#123456"}
    db.session.rollback()
    assert db.session.get(Order, 1).status == "B"
    assert list_statuses("O")[1].params != seen.params
"""


def test_models_of_the_shop_and_ours_share_a_session(shop: OpenShop) -> None:
    (shop.shop.folder / "one_session.py").write_text(ONE_SESSION)

    assert shop.shop.call("one_session") == ""
