"""Where export writes: a file whole or not at all, and what is no file plainly."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from flask import Flask
from flask.testing import FlaskClient

from .commands import export, run
from .servers import ROOT

pytestmark = pytest.mark.one_database


def test_file_is_replaced_and_keeps_its_mode(app: Flask, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("old")
    old.chmod(0o604)
    umask = os.umask(0o027)

    printed = [run(app, "export", str(file)).stdout for file in (old, new)]
    os.umask(umask)

    modes = [stat.S_IMODE(file.stat().st_mode) for file in (old, new)]
    assert (modes, printed) == ([0o604, 0o640], ["", ""])
    assert old.read_text() == new.read_text() == export(app)


def test_error_names_the_file_that_was_asked_for(app: Flask, tmp_path: Path) -> None:
    file = tmp_path / "missing" / "statuses.json"

    exported = run(app, "export", str(file))

    problem = f"Error: {file} cannot be written: No such file or directory.\n"
    assert (exported.exit_code, exported.stderr) == (1, problem)


def test_link_stays_a_link(app: Flask, tmp_path: Path) -> None:
    link, file = tmp_path / "link", tmp_path / "file"
    link.symlink_to("file")

    run(app, "export", str(link))
    first = file.read_bytes()
    file.write_bytes(b"")
    run(app, "export", str(link))

    assert link.is_symlink()
    assert file.read_bytes() == first


def test_link_to_itself_becomes_the_file(app: Flask, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("link")

    assert run(app, "export", str(link)).exit_code == 0
    assert len(json.loads(link.read_text())["statuses"]) == 11


def test_pipe_stays_a_pipe(app: Flask, tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()

    exported = run(app, "export", str(pipe))
    reader.join(10)

    assert exported.exit_code == 0
    assert read == [export(app)]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.slow
def test_device_stays_a_device(app: Flask, tmp_path: Path) -> None:
    null = tmp_path / "null"
    os.mknod(null, 0o666 | stat.S_IFCHR, os.makedev(1, 3))

    assert run(app, "export", str(null)).exit_code == 0
    assert stat.S_ISCHR(null.stat().st_mode)


def test_standard_output_may_be_named(database: str) -> None:
    command = [sys.executable, "-m", "flask", "order-statuses", "export"]
    environment = os.environ | {"DATABASE_URL": database}

    exported = subprocess.run(
        [*command, "/dev/stdout"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )

    assert exported.stderr == ""
    assert len(json.loads(exported.stdout)["statuses"]) == 11


@pytest.mark.parametrize("name", ["missing/file", "."])
def test_file_that_cannot_be_written_is_named(
    app: Flask, tmp_path: Path, name: str
) -> None:
    failed = run(app, "export", str(tmp_path / name))

    assert failed.exit_code == 1
    assert failed.stderr.startswith("Error: ")
    assert str(tmp_path) in failed.stderr
    assert list(tmp_path.iterdir()) == []


def test_users_are_written_to_a_new_file_alone(app: Flask, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")

    assert run(app, "export", str(file), "--users").exit_code == 1
    assert run(app, "export", "--users").exit_code == 2
    assert run(app, "export", "-", "--users").exit_code == 2
    assert file.read_text() == "old"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    subprocess.run(mount, check=True)
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
def test_full_disk_leaves_the_good_file(
    app: Flask, client: FlaskClient, small_disk: Path
) -> None:
    file = small_disk / "statuses.json"
    run(app, "export", str(file))
    good = file.read_bytes()
    header = {"email_header": "x" * 65_535}
    for status_id in range(1, 12):
        client.put(f"/api/2.0/statuses/{status_id}", json=header)
    (small_disk / "other").write_bytes(b"x" * 600_000)

    failed = run(app, "export", str(file))

    assert (failed.exit_code, failed.stdout) == (1, "")
    assert "No space left on device" in failed.stderr
    assert file.read_bytes() == good
    assert sorted(os.listdir(small_disk)) == ["other", "statuses.json"]


@pytest.mark.slow
def test_full_disk_leaves_no_secret_file(
    app: Flask, client: FlaskClient, small_disk: Path
) -> None:
    (small_disk / "other").write_bytes(b"x" * 1024 * 1024)
    file = small_disk / "everything.json"

    failed = run(app, "export", "--users", str(file))
    (small_disk / "other").unlink()
    again = run(app, "export", "--users", str(file))

    assert (failed.exit_code, again.exit_code) == (1, 0)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
