"""Shops in folders of their own, which install the wheel and follow embedding.md."""

import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from sysconfig import get_path
from textwrap import indent
from typing import NamedTuple

import httpx

from .docs import EMBEDDING, code
from .servers import ROOT, Server, call, clean_environment, clone, running

SHOP = ROOT / "tests" / "shop"
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


FRESH_APP, *ADDITIONS = code(EMBEDDING, "python")
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


def fresh_app(*additions: str) -> str:
    """Return the fresh application with *additions*, put where they say."""
    app, mount = FRESH_APP, "    app.register_blueprint(create_blueprint()"
    for addition in additions:
        outside, _, inside = addition.partition("# In create_app, before the mount:\n")
        app = f"{outside}\n{app}".replace(mount, f"{indent(inside, ' ' * 4)}{mount}")
    return app


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


@contextmanager
def serving_shop(
    python: str, folder: Path, application: str, **environment: str
) -> Iterator[Server]:
    """Serve the *application* of *folder*."""
    options = ["--bind=127.0.0.1:0", "--no-control-socket"]
    command = [python, "-m", "gunicorn", *options, application]
    with running(command, folder, clean_environment() | environment) as server:
        yield server


# A shop without pages, whose login is by token.

# What such a shop has before the mount: a login that gives tokens, and a page.
OF_THE_SHOP = """
from datetime import timedelta
from flask_jwt_extended import JWTManager, create_access_token, jwt_required

# In create_app, before the mount:
app.config["JWT_SECRET_KEY"] = "a secret of the tests, which is long enough"
JWTManager(app)

@app.get("/token/<int(signed=True):seconds>")
def token(seconds):
    lifetime = timedelta(seconds=seconds)
    return create_access_token("manager@shop.example", expires_delta=lifetime)

@app.get("/orders")
@jwt_required()
def orders():
    return []
"""


@contextmanager
def serving_api_shop(
    wheel: Wheel, folder: Path, *additions: str, mount: str = "create_blueprint()"
) -> Iterator[Server]:
    """Serve the fresh application with tokens, and other *additions* of the page."""
    app = fresh_app(OF_THE_SHOP, JWT, *additions)
    (folder / "app.py").write_text(app.replace("create_blueprint()", mount))
    python = str(wheel.python)
    seed = "flask order-statuses seed --create-tables"
    call([python, "-m", *seed.split()], folder)
    with serving_shop(python, folder, "app:create_app()") as server:
        yield server


def bearer(server: Server, seconds: int = 60) -> dict[str, str]:
    """Return the header with a token that lives some *seconds*."""
    token = httpx.get(f"{server.url}/token/{seconds}").text
    return {"Authorization": f"Bearer {token}"}
