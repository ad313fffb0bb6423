"""The wheel: what it holds and requires, and the service that it installs."""

import re
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import httpx
import pytest

from .docs import code, section
from .embedding import Wheel
from .servers import ROOT, call, clean_environment, running

pytestmark = pytest.mark.slow


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
    command = [str(wheel.python), "-c", IMPORTED_BY_BLUEPRINT]
    names = call(command, wheel.file.parent).split()
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
    assert call([wheel.python, "-c", IMPORT_ALL], tmp_path) == ""


def test_package_says_what_to_import(wheel: Wheel, tmp_path: Path) -> None:
    said = call(
        [wheel.python, "-c", "import order_statuses; help(order_statuses)"],
        tmp_path,
    )

    assert "from order_statuses import create_blueprint" in said


def test_service_runs_in_any_folder(wheel: Wheel, tmp_path: Path) -> None:
    (script,) = code(section("As a package"))
    python = str(wheel.python)
    init, serve = ([python, "-m", *line.split()] for line in script.splitlines())
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
