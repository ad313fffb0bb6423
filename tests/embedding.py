"""What a shop that installs the wheel is made of: an environment, and its folder."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from sysconfig import get_path
from textwrap import indent
from typing import NamedTuple

from .servers import ROOT

SHOP = ROOT / "tests" / "shop"
PAGE = (ROOT / "docs" / "embedding.md").read_text(encoding="utf-8")
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


def examples(language: str) -> list[str]:
    """Return the examples of docs/embedding.md in a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


FRESH_APP, *ADDITIONS = examples("python")
# For the file of Flask-Migrate, and for the tests; the others are for the shop's own.
(GET_METADATA,) = (example for example in ADDITIONS if "get_metadata" in example)
(FIXTURES,) = (example for example in ADDITIONS if "fixture" in example)
# For a shop without pages.
(JWT,) = (example for example in ADDITIONS if "jwt" in example)
(CORS,) = (example for example in ADDITIONS if "cors" in example)
API_ONLY = [JWT, CORS]


class Wheel(NamedTuple):
    """The wheel, and the Python of an environment that it is installed in."""

    file: Path
    python: Path


def build_wheel(folder: Path) -> Wheel:
    """Build and install the wheel of the sdist in *folder*, without a network."""
    offline = ["--no-index", "--no-deps"]
    clone(folder / "source")
    build_sdist = [sys.executable, "-m", "hatchling", "build", "--target", "sdist"]
    call([*build_sdist, "--directory", str(folder)], folder / "source")
    (sdist,) = folder.glob("*.tar.gz")
    call([*PIP, "wheel", *offline, "--no-build-isolation", str(sdist)], folder)
    call([sys.executable, "-m", "venv", "--without-pip", "env"], folder)
    (file,) = folder.glob("*.whl")
    python = folder / "env" / "bin" / "python"
    call([*PIP, "--python", str(python), "install", *offline, str(file)], folder)
    # It sees the packages of the environment that the tests run in.
    (packages,) = folder.glob("env/lib/python*/site-packages")
    (packages / "tests.pth").write_text(get_path("purelib"))
    return Wheel(file, python)


def clone(folder: Path) -> None:
    """Copy the checkout, without what git ignores."""
    ignored = (".*", "__pycache__", "instance", "build", "*-info", "node_modules")
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*ignored))


def fresh_app(*additions: str) -> str:
    """Return the fresh application with *additions*, put where they say."""
    code, mount = FRESH_APP, "    app.register_blueprint(create_blueprint()"
    for addition in additions:
        outside, _, inside = addition.partition("# In create_app, before the mount:\n")
        code = f"{outside}\n{code}".replace(mount, f"{indent(inside, ' ' * 4)}{mount}")
    return code


def call(command: list[str], folder: Path, **environment: str) -> str:
    """Run *command* in *folder*, and return what it prints.

    :raise AssertionError: with all that it says, if it fails
    """
    called = subprocess.run(
        command,
        cwd=folder,
        env=clean_environment() | environment,
        capture_output=True,
        text=True,
    )
    assert called.returncode == 0, called.stdout + called.stderr
    return called.stdout


def clean_environment() -> dict[str, str]:
    ours = ("DATABASE_URL", "FLASK_", "ORDER_STATUSES_", "PYTHONPATH")
    return {k: v for k, v in os.environ.items() if not k.startswith(ours)}


class Shop(NamedTuple):
    """A copy of tests/shop, and the Python that runs it."""

    python: str
    folder: Path
    environment: dict[str, str]

    def call(self, *command: str) -> str:
        return call([self.python, "-m", *command], self.folder, **self.environment)


def build_shop(python: Path, folder: Path, database: str) -> Shop:
    """Copy the shop as it was before the mount, with a migration of its tables."""
    shutil.copytree(SHOP, folder, ignore=shutil.ignore_patterns("mounted", "__pyc*"))
    shop = Shop(str(python), folder, {"SHOP_DATABASE": database})
    shop.call("flask", "db", "init")
    shop.call("flask", "db", "migrate", "-m", "the shop")
    shop.call("flask", "db", "upgrade")
    return shop


def mount(shop: Shop) -> None:
    """Have *shop* mount the API and use it, as docs/embedding.md says."""
    tests = shutil.ignore_patterns("tests")
    shutil.copytree(SHOP / "mounted", shop.folder, ignore=tests, dirs_exist_ok=True)
    edit(shop.folder / "app.py", r"import config\n", r"\g<0>import statuses\n")
    last = r" +app.register_blueprint\(api, .*\n"
    edit(shop.folder / "app.py", last, r"\g<0>    statuses.mount(app, csrf)\n")
    old = r"def get_metadata\(\):\n(    .*\n)+"
    edit(shop.folder / "migrations" / "env.py", old, GET_METADATA)


def edit(file: Path, old: str, new: str) -> None:
    """Replace the one match of the pattern *old*."""
    text, number = re.subn(old, new, file.read_text())
    assert number == 1
    file.write_text(text)


def migrate(shop: Shop) -> str:
    """Let the shop's Alembic add what the mount needs; return the migration."""
    shop.call("flask", "db", "migrate", "-m", "statuses")
    shop.call("flask", "db", "upgrade")
    (file,) = (shop.folder / "migrations" / "versions").glob("*_statuses.py")
    return file.read_text()
