"""The map of the modules in docs/development.md, against the modules."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "development.md").read_text(encoding="utf-8")
# The front door loads modules when they are asked for; gunicorn's settings load none.
OUTSIDE = {"order_statuses", "gunicorn.conf"}


def layers() -> dict[str, int]:
    """Return the line of each module in the page's list of layers."""
    lines = re.findall(r"^(\d+)\. (`.+)$", PAGE, re.MULTILINE)
    return {
        module: int(number)
        for number, modules in lines
        for module in re.findall(r"`(\w+)`", modules)
    }


def imported(module: str) -> set[str]:
    """Return the modules of ours that *module* imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / f"{module}.py").read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            names |= {node.module} if node.module else {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            package, _, name = node.module.partition(".")
            names |= {name} if package == "order_statuses" else set()
    return names


def test_modules_import_only_from_lines_below_their_own() -> None:
    line = layers()
    upwards = {
        (module, name)
        for module in line
        for name in imported(module)
        if line[name] <= line[module]
    }

    assert upwards == set()


def test_page_names_every_module() -> None:
    modules = {file.stem for file in ROOT.glob("*.py")}

    assert layers().keys() == modules - OUTSIDE
    assert all(f"`{module}.py`" in PAGE for module in modules)
