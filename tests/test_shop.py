"""A shop with versions and tests of its own, before and after the mount."""

import ast
import builtins
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from order_statuses import Base

from .conftest import Databases
from .embedding import (
    ADDITIONS,
    API_ONLY,
    FIXTURES,
    GET_METADATA,
    PAGE,
    PIP,
    SHOP,
    Shop,
    Wheel,
    build_shop,
    call,
    clean_environment,
    examples,
    migrate,
    mount,
)
from .servers import ROOT

MOUNTED = SHOP / "mounted"


class Environment(NamedTuple):
    """The shop's own Python, and its packages before and after our wheel."""

    python: Path
    before: set[str]
    after: set[str]


@pytest.fixture(scope="module")
def pinned(wheel: Wheel, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the shop's versions, in which the wheel is installed."""
    folder = tmp_path_factory.mktemp("pinned")
    call([sys.executable, "-m", "venv", "--without-pip", "env"], folder)
    python = folder / "env" / "bin" / "python"
    pip = [*PIP, "--python", str(python)]
    call([*pip, "install", "-r", str(SHOP / "requirements.txt")], folder)
    before = set(call([*pip, "freeze"], folder).splitlines())
    call([*pip, "install", str(wheel.file)], folder)
    after = set(call([*pip, "freeze"], folder).splitlines())
    return Environment(python, before, after)


@pytest.fixture
def shop(pinned: Environment, databases: Databases, tmp_path: Path) -> Shop:
    """The shop before the mount."""
    return build_shop(pinned.python, tmp_path / "shop", databases.create())


def passed(shop: Shop, *arguments: str) -> int:
    """Run tests of the shop, which must pass; return how many there were."""
    said = shop.call("pytest", "-q", "-W", "error::pytest.PytestWarning", *arguments)
    (number,) = re.findall(r"^(\d+) passed", said, re.MULTILINE)
    return int(number)


@pytest.mark.slow
def test_installation_changes_no_version_of_the_shop(pinned: Environment) -> None:
    assert pinned.before < pinned.after
    added = {re.split("==| @ ", line)[0] for line in pinned.after - pinned.before}
    assert added == {"order-statuses", "cachetools"}


@pytest.mark.slow
def test_tests_of_the_shop_pass_before_and_after_the_mount(
    shop: Shop, databases: Databases
) -> None:
    before = passed(shop)
    mount(shop)
    migrate(shop)
    shop.call("flask", "order-statuses", "seed")

    assert passed(shop) == before > 12

    # And with the fixtures of docs/embedding.md, on an empty database.
    shutil.copytree(MOUNTED / "tests", shop.folder / "tests", dirs_exist_ok=True)
    with (shop.folder / "tests" / "conftest.py").open("a") as conftest:
        conftest.write(FIXTURES)  # the later of two with one name is used
    anew = shop._replace(environment={"SHOP_DATABASE": databases.create()})
    assert passed(anew, "tests/test_shop.py") == before
    assert passed(anew, "tests/test_statuses.py") > 12


@pytest.mark.slow
def test_migration_of_the_shop_goes_up_and_down(shop: Shop) -> None:
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


def refusal(shop: Shop, *arguments: str) -> str:
    """Return what a command says that refuses to do something."""
    refused = subprocess.run(
        [shop.python, "-m", "flask", "order-statuses", *arguments],
        cwd=shop.folder,
        env=clean_environment() | shop.environment,
        capture_output=True,
        text=True,
    )
    assert refused.returncode == 1
    return refused.stderr


# What docs/embedding.md says is true of this shop, and so are its examples.


@pytest.mark.parametrize("package", ["flask", "werkzeug", "sqlalchemy", "marshmallow"])
def test_page_has_the_lowest_versions(package: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lowest = dict(line.split(">=") for line in project["dependencies"])[package]
    text = " ".join(PAGE.lower().split())
    (versions,) = re.findall(f"these versions: .*?{package}([^;]*)", text)

    assert lowest in versions


def test_page_begins_with_what_every_shop_needs() -> None:
    headings = re.findall("^## (.*)", PAGE, re.MULTILINE)

    assert headings[:6] == [
        "Mount it",
        "Who may call",
        "CSRF",
        "CORS",
        "Tables",
        "Your tests",
    ]


# What a shop's own modules have under these names.
OF_THE_SHOP = {"app", "csrf", "target_db"}


def test_examples_for_python_are_in_the_shop() -> None:
    have = {ast.dump(node) for node in nodes()}
    imported = set(imports(nodes()))
    for example in set(ADDITIONS) - {GET_METADATA, FIXTURES, *API_ONLY}:
        for statement in ast.parse(example).body:
            if isinstance(statement, ast.ImportFrom | ast.Import):
                assert set(imports([statement])) <= imported
            else:
                assert ast.dump(statement) in have, ast.unparse(statement)


def nodes() -> Iterator[ast.AST]:
    """Yield the statements, at any depth, of the shop after the mount."""
    for file in MOUNTED.rglob("*.py"):
        yield from ast.walk(ast.parse(file.read_text()))


def imports(statements: Iterator[ast.AST] | list[ast.stmt]) -> Iterator[str]:
    for statement in statements:
        if isinstance(statement, ast.ImportFrom):
            for alias in statement.names:
                yield f"{statement.module}.{alias.name}"
        elif isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)


@pytest.mark.parametrize("example", ADDITIONS)
def test_examples_import_what_they_use(example: str) -> None:
    tree = ast.parse(example)
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    bound = {name.id for name in names if isinstance(name.ctx, ast.Store)}
    bound |= {name.rpartition(".")[2] for name in imports(tree.body)}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.ExceptHandler):
            bound.add(node.name or "")
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
    known = bound | OF_THE_SHOP | set(dir(builtins))

    assert {name.id for name in names} <= known


def test_examples_for_templates_are_in_the_shop() -> None:
    (example,) = examples("html")

    assert example in (MOUNTED / "templates" / "order.html").read_text()
