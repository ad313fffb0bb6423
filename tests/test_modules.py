"""The map of the modules in docs/development.md, against the modules."""

import ast
import re

from .servers import ROOT

PAGE = (ROOT / "docs" / "development.md").read_text(encoding="utf-8")
# The front door imports what a shop needs; gunicorn's settings import no module.
OUTSIDE = {"order_statuses", "gunicorn.conf"}
FILES = {file.stem: file for file in ROOT.glob("*.py")} | {
    package.parent.name: package for package in ROOT.glob("migrations/__init__.py")
}


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
    for node in ast.walk(ast.parse(FILES[module].read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            path = (node.module or "").split(".")
            if node.level:
                path = ["order_statuses", *filter(None, path)]
            if path == ["order_statuses"]:
                names |= {alias.name for alias in node.names}
            elif path[0] == "order_statuses":
                names.add(path[1])
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
    assert layers().keys() == FILES.keys() - OUTSIDE
    for file in FILES.values():
        name = file.name if file.parent == ROOT else f"{file.parent.name}/"
        assert f"`{name}`" in PAGE
