"""docs/embedding.md: what it says is true, and its examples are those of a shop."""

import ast
import builtins
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from .docs import EMBEDDING, code
from .embedding import (
    ADDITIONS,
    API_ONLY,
    FIXTURES,
    FRESH_APP,
    GET_METADATA,
    SHOP,
    Wheel,
    serving_shop,
)
from .servers import ROOT, call, clone

MOUNTED = SHOP / "mounted"
SET_UP, *_ = code(EMBEDDING)
(ASK,) = re.findall("`(curl .*)`", EMBEDDING)


def test_example_is_short() -> None:
    lines = [line for line in FRESH_APP.splitlines() if line]

    assert len(lines) <= 10


@pytest.mark.slow
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


@pytest.mark.parametrize("package", ["flask", "werkzeug", "sqlalchemy", "marshmallow"])
def test_page_has_the_lowest_versions(package: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lowest = dict(line.split(">=") for line in project["dependencies"])[package]
    text = " ".join(EMBEDDING.lower().split())
    (versions,) = re.findall(f"these versions: .*?{package}([^;]*)", text)

    assert lowest in versions


def test_page_begins_with_what_every_shop_needs() -> None:
    headings = re.findall("^## (.*)", EMBEDDING, re.MULTILINE)

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
    (example,) = code(EMBEDDING, "html")

    assert example in (MOUNTED / "templates" / "order.html").read_text()
