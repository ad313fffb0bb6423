"""Real servers in processes of their own: gunicorn, as in production, and flask run."""

import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil

ROOT = Path(__file__).parent.parent
SECONDS = 60  # to start, and to stop, on a busy machine
LISTENING = re.compile(r"(?:Listening at:|Running on) (http://\S+)")


class Server(NamedTuple):
    """A running server: its URL without a path, its (master) process and its log."""

    url: str
    process: "subprocess.Popen[bytes]"
    log: Path

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()


def clone(folder: Path) -> None:
    """Copy the checkout into *folder*, without what git ignores."""
    names = (".git", ".venv*", ".*_cache", "__pycache__", "node_modules", "instance")
    ignored = shutil.ignore_patterns(*names, "build", "dist", "*.egg-info")
    shutil.copytree(ROOT, folder, ignore=ignored, dirs_exist_ok=True)


def call(command: Sequence[str | Path], folder: Path, **environment: str) -> str:
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
    """Return the environment without settings of the service."""
    ours = ("DATABASE_URL", "FLASK_", "ORDER_STATUSES_", "PYTHONPATH")
    return {k: v for k, v in os.environ.items() if not k.startswith(ours)}


@contextmanager
def gunicorn(database_url: str, workers: int = 1, **settings: str) -> Iterator[str]:
    """Serve *database_url* on a free port; yield the server's URL, without a path.

    *settings* are environment variables.
    """
    with serving(database_url, workers, **settings) as server:
        yield server.url


@contextmanager
def serving(
    database_url: str, workers: int = 1, application: str = "wsgi:app", **settings: str
) -> Iterator[Server]:
    """Do what *gunicorn* does, for those who look at the server itself."""
    # Port 0: the system gives a free one, and the log says which.
    options = ["--bind=127.0.0.1:0", f"--workers={workers}"]
    command = [sys.executable, "-m", "gunicorn", *options, application]
    environment = os.environ | settings | {"DATABASE_URL": database_url}
    with running(command, ROOT, environment) as server:
        yield server


# What systemd does with a socket unit: the process that becomes the server has it as 3.
ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


@contextmanager
def activated(
    listener: socket.socket, database_url: str, **settings: str
) -> Iterator[Server]:
    """Serve *database_url* on *listener*, which stays open afterwards."""
    fd = listener.fileno()
    command = [sys.executable, "-c", ACTIVATE, str(fd), "-m", "gunicorn", "wsgi:app"]
    environment = os.environ | settings | {"DATABASE_URL": database_url}
    with running(command, ROOT, environment, pass_fds=(fd,)) as server:
        yield server


@contextmanager
def flask_run(database_url: str, host: str, **settings: str) -> Iterator[Server]:
    """Serve *database_url* to developers, with the settings of .flaskenv."""
    command = [sys.executable, "-m", "flask", "run", f"--host={host}", "--port=0"]
    environment = os.environ | {"DATABASE_URL": database_url} | settings
    with running(command, ROOT, environment) as server:
        yield server


@contextmanager
def running(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    pass_fds: Sequence[int] = (),
) -> Iterator[Server]:
    """Run *command*, a server of whatever application, in *folder*."""
    with (
        NamedTemporaryFile(suffix=".log") as log,
        subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
            pass_fds=pass_fds,
        ) as process,
    ):
        try:
            yield Server(wait_for(process, Path(log.name)), process, Path(log.name))
        finally:
            stop(process)


@contextmanager
def nginx_of(server: str, folder: Path) -> Iterator[None]:
    """Run an nginx, whose workers are another user's, with these *server* settings."""
    settings = folder / "nginx.conf"
    settings.write_text(f"""
        user www-data;
        daemon off;
        pid {folder}/nginx.pid;
        error_log stderr;
        events {{}}
        http {{
            access_log off;
            server {{ {server} }}
        }}
    """)
    with subprocess.Popen(["nginx", "-c", settings]) as process:
        try:
            yield
        finally:
            stop(process)


@contextmanager
def nginx_by_tls(url: str, folder: Path) -> Iterator[str]:
    """Serve *url* by TLS; yield the address, without a path."""
    key, certificate = folder / "key", folder / "certificate"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-batch"]
    subprocess.run(
        [*make, "-subj", "/CN=localhost", "-keyout", key, "-out", certificate],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    port = free_port()
    settings = f"""
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        location / {{
            proxy_pass {url};
            proxy_set_header Host $http_host;
        }}
    """
    with nginx_of(settings, folder):
        wait_until(lambda: is_open(port))
        yield f"https://localhost:{port}"


def wait_for(server: subprocess.Popen[bytes], log: Path) -> str:
    """Return the URL of *server* as soon as it responds.

    :raise RuntimeError: with its log, if it never does
    """
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and server.poll() is None:
        listening = LISTENING.search(log.read_text())
        if listening and responds(listening[1]):
            return listening[1]
        time.sleep(0.05)
    raise RuntimeError(f"The server did not start:\n{log.read_text()}")


def responds(url: str) -> bool:
    """Say whether there is any response at *url*, an error included."""
    try:
        urlopen(url, timeout=SECONDS).close()  # noqa: S310 - our own server
    except HTTPError:
        return True
    except OSError:
        return False
    return True


def free_port() -> int:
    """Return a free port, one that Linux gives to no connection meanwhile."""
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until *condition* holds.

    :raise TimeoutError: it does not
    """
    end = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.05)


def stop(server: subprocess.Popen[bytes]) -> None:
    """End *server* as an operator would, and the hard way if that takes too long."""
    server.terminate()
    try:
        server.wait(SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
