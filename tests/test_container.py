"""The container image: built from deploy/Dockerfile, and run as Docker runs it."""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from sqlalchemy import make_url

from tools.load import TYPES, load

from .conftest import DATABASES, PostgresDatabases, fill
from .docs import DEPLOYMENT
from .faults import outcome
from .servers import ROOT, SECONDS, Server, clone, free_port, running

pytestmark = pytest.mark.slow

IN_CONTAINER = re.findall("^docker exec statuses (.*)", DEPLOYMENT, re.MULTILINE)
ADD_USER, BACK_UP, REMOVE_BACKUP = map(shlex.split, IN_CONTAINER)
RESTORE = re.findall("order-statuses:1.0 sh -c '(.*)' < backup.db", DEPLOYMENT)[0]

BASE, IMAGE = "localhost/base", "localhost/order-statuses"
USER = "admin@shop.example"
STATUS = "/api/2.0/statuses/2"
DATABASE, BACKUP = "/data/order_statuses.db", "/data/backup.db"
INSTALLS = "Installing collected packages"


class Buildah:
    """Debian's buildah, with all its files in *folder*."""

    def __init__(self, folder: Path) -> None:
        self.storage = [f"--root={folder}/storage", f"--runroot={folder}/run"]
        self.environment = os.environ | {"TMPDIR": str(folder)}
        self.empty_folder = folder / "empty"
        self.empty_folder.mkdir()

    def __call__(self, *arguments: str, folder: Path = ROOT) -> str:
        """Run a command of buildah in *folder*; return what it prints."""
        return subprocess.check_output(
            ["buildah", *self.storage, *arguments],
            cwd=folder,
            env=self.environment,
            text=True,
        ).strip()

    def make_base(self) -> None:
        """Stand in for python:3.13-slim with Debian's own Python 3.13."""
        container = self("from", "scratch")
        packages = ["--variant=minbase", "--include=python3-venv"]
        system = ["mmdebstrap", "--quiet", *packages, "trixie"]
        subprocess.run([*system, self("mount", container)], check=True)
        self("umount", container)
        self("commit", "--quiet", "--rm", container, BASE)

    def build(self, folder: Path = ROOT) -> str:
        """Build the image from the checkout in *folder*; return the log."""
        return self(
            *("build", "--layers", "--pull-never", "--isolation=chroot"),
            "--format=docker",  # the other format has no HEALTHCHECK
            "--volume=/etc/ssl/certs:/etc/ssl/certs:ro",  # pip trusts whom we trust
            *(f"--build-arg=PYTHON_IMAGE={BASE}", f"--tag={IMAGE}"),
            *("--file=deploy/Dockerfile", "."),
            folder=folder,
        )

    def inspect(self, image: str) -> dict[str, Any]:
        inspected: dict[str, Any] = json.loads(self("inspect", "--type=image", image))
        return inspected


class Container:
    """A container of the image, with a volume and a port of its own."""

    def __init__(self, buildah: Buildah) -> None:
        self.buildah = buildah
        self.image = buildah.inspect(IMAGE)["Docker"]["config"]
        self.name = buildah("from", "--pull-never", IMAGE)
        self.port = free_port()
        self.options = ["--isolation=chroot", f"--env=PORT={self.port}"]
        # Closed, as by docker run --read-only: all other folders are root's.
        for folder in ("/tmp", "/var/tmp", "/run/lock"):  # noqa: S108
            self.options.append(f"--volume={buildah.empty_folder}:{folder}:ro")

    def use(self, database_url: str) -> None:
        """Have the service use a PostgreSQL server outside the container."""
        url = make_url(database_url)
        host_socket = f"{url.query['host']}/.s.PGSQL.5432"
        self.options.append(f"--volume={host_socket}:/run/.s.PGSQL.5432")
        url = url.update_query_dict({"host": "/run"})
        self.set("DATABASE_URL", url.render_as_string(hide_password=False))

    def set(self, name: str, value: str) -> None:
        self.options.append(f"--env={name}={value}")

    def run(self, *command: str) -> str:
        """Run *command* beside the service; return what it prints."""
        return self.buildah("run", *self.options, self.name, "--", *command)

    @contextmanager
    def serving(self) -> Iterator[Server]:
        """Run the image's own command, until the end of the block at most."""
        options = ["run", *self.options, self.name, "--", *self.image["Cmd"]]
        command = ["buildah", *self.buildah.storage, *options]
        with running(command, ROOT, self.buildah.environment) as server:
            family = psutil.Process(server.process.pid).children(recursive=True)
            try:
                # An address that a server bound to 127.0.0.1 does not have.
                yield server._replace(url=f"http://127.0.0.2:{self.port}")
            finally:
                for process in family:
                    with suppress(psutil.NoSuchProcess):
                        process.kill()


def main_process(server: Server) -> psutil.Process:
    """Return the first process of the container, which docker stop signals."""
    family = psutil.Process(server.process.pid).children(recursive=True)
    return next(process for process in family if "buildah" not in process.name())


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buildah]:
    """Images and containers, with a base image."""
    if os.geteuid() or not (shutil.which("buildah") and shutil.which("mmdebstrap")):
        needed = "These tests need root and Debian's packages buildah and mmdebstrap."
        pytest.fail(needed) if os.environ.get("CI") else pytest.skip(needed)
    folder = tmp_path_factory.mktemp("buildah")
    # In memory: on a disk, to delete so many files takes as long as to write them.
    subprocess.run(["mount", "-t", "tmpfs", "buildah", folder], check=True)
    try:
        buildah = Buildah(folder)
        buildah.make_base()
        yield buildah
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture(scope="module")
def log(buildah: Buildah) -> str:
    """The log of building the image."""
    return buildah.build()


@pytest.fixture
def container(buildah: Buildah, log: str) -> Iterator[Container]:
    container = Container(buildah)
    yield container
    buildah("rm", container.name)


def test_image_adds_little_to_its_base(buildah: Buildah, log: str) -> None:
    base, image = (
        [
            layer["size"]
            for layer in json.loads(buildah.inspect(name)["Manifest"])["layers"]
        ]
        for name in (BASE, IMAGE)
    )

    assert image[: len(base)] == base
    assert sum(image) - sum(base) <= 80_000_000


def test_image_has_the_service_and_nothing_else(container: Container) -> None:
    files = [Path(file) for file in container.run("find", "-type", "f").splitlines()]

    folders = {file.parts[0] for file in files if len(file.parts) > 1}
    suffixes = {file.suffix for file in files if file.parts[0] != "page"}
    assert folders == {"migrations", "page"}
    assert suffixes <= {".py", ".json", ".yaml", ".lock", ".mako"}


def test_image_has_what_the_service_reads(container: Container) -> None:
    with container.serving() as server:
        user = USER, container.run(*ADD_USER)

        document = httpx.get(f"{server.url}/api/2.0/openapi.json", auth=user)
        page = httpx.get(f"{server.url}/api/2.0/docs")
        script = httpx.get(f"{server.url}/api/2.0/docs/init.js")
    assert document.json()["openapi"].startswith("3.1")
    assert (page.status_code, script.status_code) == (200, 200)


def test_change_of_code_installs_nothing(
    buildah: Buildah, log: str, tmp_path: Path
) -> None:
    clone(tmp_path)
    (tmp_path / "new.py").touch()

    rebuilt = buildah.build(tmp_path)

    assert INSTALLS in log
    assert INSTALLS not in rebuilt
    container = Container(buildah)
    assert container.run("ls", "new.py")
    buildah("rm", container.name)


def test_service_has_a_user_who_can_write_to_the_volume_alone(
    container: Container,
) -> None:
    writable = container.run("sh", "-c", "find / -xdev -writable 2> /dev/null; true")

    assert re.fullmatch("[1-9][0-9]*:[1-9][0-9]*", container.image["User"])
    assert writable == "/data"


@pytest.mark.parametrize("database", DATABASES)
def test_service_keeps_its_data(
    container: Container, database: str, request: pytest.FixtureRequest
) -> None:
    if database == "postgresql":
        postgres = request.getfixturevalue("postgres")
        container.use(PostgresDatabases(postgres).create())
    container.set("PYTHON_CPU_COUNT", "8")  # not the container's own
    with container.serving() as server:
        address = server.url + STATUS
        user = USER, container.run(*ADD_USER)
        updated = httpx.put(address, auth=user, json={"description": "Test"})
        workers = main_process(server).children()

        assert httpx.get(address).status_code == 401
        assert updated.status_code == 200
        assert len(workers) == 2

    with container.serving():
        assert httpx.get(address, auth=user).json()["description"] == "Test"
    assert (DATABASE in container.run("find", "/data")) == (database == "sqlite")


def test_told_to_stop_it_finishes_its_work(container: Container, postgres: str) -> None:
    database = PostgresDatabases(postgres).create()
    fill(database)
    container.use(database)
    container.set("ORDER_STATUSES_TYPES", TYPES)

    with container.serving() as server, load(server.url) as writing:
        writing.wait_for(200)
        main_process(server).terminate()
        exit_status = server.process.wait(SECONDS)

    assert exit_status == 0
    stopped = outcome(writing, database, {0, 200, 201})
    assert stopped.is_harmless, stopped


def test_healthcheck_does_not_ask_the_database(container: Container) -> None:
    kind, check = container.image["Healthcheck"]["Test"]
    assert kind == "CMD-SHELL"

    with container.serving() as server:
        remove_version = "DROP TABLE order_statuses_alembic"
        container.run("python3", "-m", "sqlite3", DATABASE, remove_version)
        assert httpx.get(f"{server.url}/readyz").status_code == 503

        container.run("sh", "-c", check)
    with pytest.raises(subprocess.CalledProcessError):
        container.run("sh", "-c", check)


def test_documented_backup_is_restored(container: Container) -> None:
    with container.serving():
        user = USER, container.run(*ADD_USER)
        container.run(*BACK_UP)
    later = USER, container.run(*ADD_USER)  # another key
    container.run("sh", "-c", f"{RESTORE} < {BACKUP}")
    container.run(*REMOVE_BACKUP)

    with container.serving() as server:
        address = server.url + STATUS
        codes = [httpx.get(address, auth=auth).status_code for auth in (user, later)]
    assert codes == [200, 401]
    assert BACKUP not in container.run("find", "/data")
