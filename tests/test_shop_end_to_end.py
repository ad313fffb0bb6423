"""tests/shop: a shop with versions, tests and migrations of its own, and the mount."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import psycopg
import pytest

from order_statuses import Base

from .commands import DRY_RUN, of
from .conftest import Databases, on_postgresql
from .embedding import (
    FIXTURES,
    PIP,
    SHOP,
    Shop,
    Wheel,
    build_shop,
    migrate,
    mount,
    serving_shop,
)
from .servers import ROOT, Server, call, clean_environment

pytestmark = pytest.mark.slow

STATUSES = "/api/2.0/statuses"


class Environment(NamedTuple):
    """The shop's own Python, and its packages before and after our wheel."""

    python: Path
    before: set[str]
    after: set[str]


@pytest.fixture(scope="module")
def environment(wheel: Wheel, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the shop's versions, in which the wheel is installed."""
    folder = tmp_path_factory.mktemp("environment")
    call([sys.executable, "-m", "venv", "--without-pip", "env"], folder)
    python = folder / "env" / "bin" / "python"
    pip: list[str | Path] = [*PIP, "--python", python]
    call([*pip, "install", "-r", SHOP / "requirements.txt"], folder)
    before = set(call([*pip, "freeze"], folder).splitlines())
    call([*pip, "install", wheel.file], folder)
    after = set(call([*pip, "freeze"], folder).splitlines())
    return Environment(python, before, after)


@pytest.fixture(scope="module")
def before(
    environment: Environment,
    databases: Databases,
    tmp_path_factory: pytest.TempPathFactory,
) -> Shop:
    """The shop before the mount. Tests that change something make a copy."""
    folder = tmp_path_factory.mktemp("before") / "shop"
    return build_shop(environment.python, folder, databases.create())


@pytest.fixture(scope="module")
def mounted(
    before: Shop, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Shop:
    """The shop after the mount. Tests that change something make a copy."""
    shop = copy(before, databases, tmp_path_factory.mktemp("mounted") / "shop")
    mount(shop)
    # Our modules of the same names as the shop's are never taken for them.
    for module in {file.name for file in ROOT.glob("*.py")} - {"order_statuses.py"}:
        if not (shop.folder / module).exists():
            (shop.folder / module).write_text("raise ImportError('This is the shop.')")
    migrate(shop)
    shop.call("flask", "order-statuses", "seed")
    return shop


def copy(shop: Shop, databases: Databases, folder: Path) -> Shop:
    """Copy a shop with its database, to which nobody is connected."""
    shutil.copytree(shop.folder, folder)
    url = databases.create(template=shop.environment["SHOP_DATABASE"])
    return shop._replace(folder=folder, environment={"SHOP_DATABASE": url})


def passed(shop: Shop, *arguments: str) -> int:
    """Run tests of the shop, which must pass; return how many there were."""
    said = shop.call("pytest", "-q", "-W", "error::pytest.PytestWarning", *arguments)
    (number,) = re.findall(r"^(\d+) passed", said, re.MULTILINE)
    return int(number)


def order_statuses(
    shop: Shop, *arguments: str | Path
) -> "subprocess.CompletedProcess[str]":
    """Run one of our commands in the shop."""
    return subprocess.run(
        [shop.python, "-m", "flask", "order-statuses", *arguments],
        cwd=shop.folder,
        env=clean_environment() | shop.environment,
        capture_output=True,
        text=True,
    )


def refusal(shop: Shop, *arguments: str) -> str:
    """Return what a command says that refuses to do something."""
    refused = order_statuses(shop, *arguments)
    assert refused.returncode == 1
    return refused.stderr


def test_installation_changes_no_version_of_the_shop(environment: Environment) -> None:
    assert environment.before < environment.after
    added = {
        re.split("==| @ ", line)[0] for line in environment.after - environment.before
    }
    assert added == {"order-statuses", "cachetools"}


def test_tests_of_the_shop_pass_before_and_after_the_mount(
    before: Shop, mounted: Shop, databases: Databases, tmp_path: Path
) -> None:
    number = passed(before)
    assert passed(mounted) == number > 12

    # And with the fixtures of docs/embedding.md, on an empty database.
    shop = copy(mounted, databases, tmp_path / "shop")
    tests = shop.folder / "tests"
    shutil.copytree(SHOP / "mounted" / "tests", tests, dirs_exist_ok=True)
    with (tests / "conftest.py").open("a") as conftest:
        conftest.write(FIXTURES)  # the later of two with one name is used
    anew = shop._replace(environment={"SHOP_DATABASE": databases.create()})
    assert passed(anew) > 2 * number


def test_migration_of_the_shop_goes_up_and_down(
    before: Shop, databases: Databases, tmp_path: Path
) -> None:
    shop = copy(before, databases, tmp_path / "shop")
    shop.call("flask", "seed")
    mount(shop)
    assert "The database is not set up" in refusal(shop, "users")

    up = migrate(shop).partition("def downgrade")[0]
    created = re.findall(r"create_table\('(\w+)'", up)
    assert set(created) == {"icon", *Base.metadata.tables}
    assert created[-1] == "icon"  # which refers to a status
    assert "drop" not in up

    shop.call("flask", "db", "check")
    shop.call("flask", "order-statuses", "seed")
    shop.call("flask", "db", "downgrade")
    shop.call("flask", "db", "upgrade")
    shop.call("flask", "order-statuses", "seed")
    shop.call("flask", "publish-stores")
    assert "create the tables by your own migrations" in refusal(
        shop, "seed", "--create-tables"
    )


# The shop in a process of its own.


class OpenShop(NamedTuple):
    """The shop that has mounted the API, and its server."""

    shop: Shop
    server: Server

    @contextmanager
    def manager(self, host: str = "localhost") -> Iterator[httpx.Client]:
        """Log in by the form of the shop, which gives a cookie."""
        headers = {"Host": host}
        with httpx.Client(base_url=self.server.url, headers=headers) as manager:
            (token,) = re.findall('value="(.+)"', manager.get("/login").text)
            form = {"email": "manager@shop.example", "password": "manager"}
            manager.post("/login", data={**form, "csrf_token": token})
            yield manager


@pytest.fixture(scope="module")
def open_shop(
    mounted: Shop, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OpenShop]:
    """The shop, with customers, orders and storefronts, under gunicorn."""
    shop = copy(mounted, databases, tmp_path_factory.mktemp("open") / "shop")
    shop.call("flask", "seed")
    shop.call("flask", "publish-stores")
    with serving_shop(
        shop.python, shop.folder, "wsgi:app", **shop.environment
    ) as server:
        yield OpenShop(shop, server)


def test_manager_writes_by_the_cookie_of_the_shop(open_shop: OpenShop) -> None:
    with open_shop.manager() as manager:
        created = manager.post(STATUSES, json={"description": "Packed"})
        address = created.headers["Location"]
        updated = manager.put(address, data={"description": "Wrapped"})
        deleted = manager.delete(address)
        refused = manager.delete(f"{STATUSES}/3")

    codes = [r.status_code for r in (created, updated, deleted, refused)]
    assert codes == [201, 200, 204, 400]
    assert "status: 2." in refused.json()["message"]  # the orders that have it
    # Which the shop's receiver writes.
    assert "manager@shop.example changed Wrapped" in open_shop.server.log.read_text()


def test_commands_work_in_a_shop(open_shop: OpenShop, tmp_path: Path) -> None:
    shop, file, old = open_shop.shop, tmp_path / "file", tmp_path / "old"
    assert order_statuses(shop, "export", old).returncode == 0
    exported = json.loads(old.read_text(encoding="utf-8"))
    of(exported, "C")["texts"]["en"]["description"] = "Done"
    exported["statuses"].remove(of(exported, "B"))
    file.write_text(json.dumps(exported), encoding="utf-8")
    planned = order_statuses(shop, "apply", file, "--prune", "--dry-run")
    applied = order_statuses(shop, "apply", file, "--prune")
    again = order_statuses(shop, "apply", file)
    undone = order_statuses(shop, "apply", old)

    assert planned.returncode == 4
    assert planned.stdout.splitlines() == [
        "changed O C",
        "  texts.en.description: 'Complete' → 'Done'",
        "kept O B: Orders use this status: 2. Give them another first.",
        "unchanged: 10",
        "dry run: nothing was changed",
    ]
    assert applied.returncode == 0
    assert applied.stdout == planned.stdout.replace(DRY_RUN, "applied\n")
    assert "flask order-statuses changed Done" in applied.stderr  # the shop's receiver
    assert (again.returncode, again.stdout) == (0, "unchanged: 11\napplied\n")
    assert undone.returncode == 0


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


@on_postgresql
def test_tenants_in_copied_schemas_see_their_own_statuses(open_shop: OpenShop) -> None:
    database = open_shop.shop.environment["SHOP_DATABASE"]
    with psycopg.connect(database, autocommit=True) as connection:
        for schema in ("acme", "globex"):
            connection.execute(COPY_SCHEMA.format(schema=schema))

    for schema in ("acme", "globex") * 2:
        with open_shop.manager(host=f"{schema}.example") as manager:
            listed = manager.get(STATUSES).json()
            assert {status["description"] for status in listed} == {schema}
