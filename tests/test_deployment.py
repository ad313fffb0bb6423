"""docs/deployment.md and operations.md, followed from an empty folder."""

import json
import os
import re
import shlex
import socket
import ssl
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import Any

import httpx
import psycopg
import pytest
from sqlalchemy.engine import make_url

from order_statuses.auth import key_hash

from .conftest import ADMINISTRATOR
from .docs import DEPLOYMENT, code, section
from .faults import Postgres, postgres_programs, postgres_to_kill
from .servers import SECONDS, Server, clone, free_port, running, stop, wait_until

pytestmark = pytest.mark.slow

STATUS = "/api/2.0/statuses/2"
NGINX = """
user root;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    # More than Debian's default compresses: it weakens the ETags of the API.
    gzip on; gzip_types application/json; gzip_proxied any; gzip_min_length 1;
    include {folder}/etc/nginx/conf.d/*.conf;
}}
"""


class Machine:
    """A folder that stands for a machine, whose systemd is this test."""

    service: Server
    first_key: str
    postgres: str  # the URL of its superuser

    def __init__(self, user: str, host: str, started: ExitStack) -> None:
        """Make one whose service is run by *user*, with a PostgreSQL at *host*."""
        self.user = user
        self.started = started
        self.folder = folder = Path(started.enter_context(TemporaryDirectory()))
        folder.chmod(0o755)
        self.tls, self.port = free_port(), free_port()
        self.places = {
            "/opt/order-statuses": f"{folder}/opt",
            "/etc/": f"{folder}/etc/",
            "/var/": f"{folder}/var/",
            "@db.example/statuses": f"@/statuses?host={host}",
            "127.0.0.1:8000": f"127.0.0.1:{self.port}",
            "listen 443": f"listen 127.0.0.1:{self.tls}",
            "db.example:": f"{host}:",
            "https://git.example/order-statuses.git": f"{folder}/upstream",
            "runuser -u order-statuses": f"runuser -u {user}",
            "-o order-statuses -g order-statuses": f"-o {user}",
            "nginx -t": f"nginx -t -c {folder}/nginx.conf",
        }
        for name in ("upstream", "etc/systemd/system", "etc/nginx/conf.d", "etc/ssl"):
            (folder / name).mkdir(parents=True)
        for name in ("var/log/nginx", "var/lib", "root"):
            (folder / name).mkdir(parents=True)
        clone(folder / "upstream")
        for file in (folder / "upstream" / "deploy").iterdir():
            file.write_text(self.here(file.read_text()))
        call("git", "init", "--quiet", f"{folder}/upstream")
        self.release()
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder))
        self.certify()

    def here(self, text: str) -> str:
        for theirs, ours in self.places.items():
            text = text.replace(theirs, ours)
        return text

    def release(self) -> None:
        """Commit what is in the repository that the service is cloned from."""
        author = ("-c", "user.name=A", "-c", "user.email=a@shop.example")
        git = ("git", "-C", str(self.folder / "upstream"), *author)
        call(*git, "add", ".")
        call(*git, "commit", "--quiet", "--message=New")

    def certify(self) -> None:
        certificate = self.folder / "etc" / "ssl" / "statuses.example"
        options = "req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1"
        call("openssl", *options.split(), "-subj", "/CN=statuses.example",
             "-addext", "subjectAltName=IP:127.0.0.1",
             "-keyout", f"{certificate}.key", "-out", f"{certificate}.pem")  # fmt: skip

    def follow(self, script: str, **environment: str) -> str:
        """Do what a block of the pages says; return what it prints."""
        skipped = ("apt-get", "useradd")
        lines = [x for x in script.splitlines() if not x.startswith(skipped)]
        told = [line for line in lines if line.startswith("systemctl")]
        rest = "\n".join(line for line in lines if line not in told)
        environment |= {"PATH": f"{postgres_programs()}:{os.environ['PATH']}:/usr/sbin"}
        # The tests' own settings are not the operator's.
        ours = {k: v for k, v in os.environ.items() if k.startswith(("LANG", "PIP_"))}
        ours |= {"HOME": f"{self.folder}/root"}
        shell = f"touch ~/.bashrc; . ~/.bashrc\n{self.here(rest)}"
        printed = call("sh", "-ec", shell, cwd=self.folder, env=ours | environment)
        for line in told:
            getattr(self, line.split()[1])(line.split()[-1])
        return printed

    def enable(self, _: str) -> None:
        self.service = self.started.enter_context(self.serve())

    def reload(self, name: str) -> None:
        if name == "nginx":
            command = ["nginx", "-c", f"{self.folder}/nginx.conf", "-g", "daemon off;"]
            nginx = subprocess.Popen(command)
            self.started.callback(stop, nginx)
        else:
            master = str(self.service.process.pid)
            call("sh", "-c", self.unit("ExecReload").replace("$MAINPID", master))

    def unit(self, name: str) -> str:
        file = self.folder / "etc" / "systemd" / "system" / "order-statuses.service"
        (value,) = re.findall(rf"^{name}=(.*)$", file.read_text(), re.MULTILINE)
        return str(value)

    def settings(self) -> dict[str, str]:
        lines = Path(self.unit("EnvironmentFile")).read_text().splitlines()
        words = [shlex.split(line)[0].partition("=") for line in lines]
        return {name: value for name, _, value in words}

    @contextmanager
    def serve(self, **settings: str) -> Iterator[Server]:
        """Do what systemd does with the unit; *settings* are others than its file's."""
        command = ["setpriv", f"--reuid={self.user}", "--clear-groups"]
        command += shlex.split(self.unit("ExecStart"))
        folder = Path(self.unit("WorkingDirectory"))
        ours = {"PORT": str(self.port), "HOME": "/", **self.settings(), **settings}
        with running(command, folder, ours) as server:
            yield server

    def key(self, *arguments: str) -> str:
        """Do what the page says of the first user, for any; return the key."""
        (block,) = [b for b in code(section("The service")) if "add-user" in b]
        return self.follow(" ".join([block.rstrip(), *arguments])).strip()

    def install(self, database: str) -> None:
        """Follow the page to the first user, with its section for *database*."""
        for heading in ("Install", database, "The service"):
            for block in code(section(heading)):
                printed = self.follow(block)
        self.first_key = printed.strip()

    def client(self) -> httpx.Client:
        """Return the first user, at nginx."""
        certificate = f"{self.folder}/etc/ssl/statuses.example.pem"
        return httpx.Client(
            base_url=f"https://127.0.0.1:{self.tls}",
            verify=ssl.create_default_context(cafile=certificate),
            auth=(ADMINISTRATOR, self.first_key),
            timeout=2 * SECONDS,  # new workers take a while on a busy machine
        )


def call(*command: str, **options: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return str(done.stdout)


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """A machine on which the page was followed, with PostgreSQL."""
    with postgres_to_kill() as postgres, ExitStack() as started:
        # PostgreSQL's socket is in a folder that only its user and root can open.
        host = str(make_url(postgres.url).query["host"])
        machine = Machine("root", host, started)
        machine.postgres = postgres.url
        (roles,) = code(section("PostgreSQL"), "sql")
        psql = f"psql --quiet --set ON_ERROR_STOP=1 $TARGET <<'END'\n{roles}END"
        machine.follow(psql, TARGET=postgres.url)
        ask_for_passwords(postgres)
        machine.install("PostgreSQL")
        yield machine


def ask_for_passwords(postgres: Postgres) -> None:
    rules = Path(postgres.server.pgdata) / "pg_hba.conf"
    roles = "statuses,statuses_owner"
    rules.write_text(f"local all {roles} scram-sha-256\n{rules.read_text()}")
    with psycopg.connect(postgres.url) as connection:
        connection.execute("SELECT pg_reload_conf()")


@pytest.fixture
def client(machine: Machine) -> Iterator[httpx.Client]:
    with machine.client() as client:
        yield client


def describe(client: httpx.Client, text: str) -> None:
    client.put(STATUS, json={"description": text}).raise_for_status()


def description(client: httpx.Client) -> str:
    text: str = client.get(STATUS).raise_for_status().json()["description"]
    return text


def test_nginx_passes_what_the_api_needs(
    machine: Machine, client: httpx.Client
) -> None:
    compressed = client.get(STATUS, headers={"Accept-Encoding": "gzip"}).headers
    tag = compressed["ETag"]
    own = {"Origin": f"https://127.0.0.1:{machine.tls}", "If-Match": tag}
    written = client.put(STATUS, json={"description": "Sent"}, headers=own)
    again = client.put(STATUS, json={"description": "Stale"}, headers=own)
    large = client.put(STATUS, content=b"x" * 1_500_000)
    named = client.get(
        "/api.php?_d=statuses/2", headers={"X-Request-ID": "from-outside"}
    )
    refused = client.get(STATUS, auth=("", ""))

    assert (compressed["Content-Encoding"], tag[:2]) == ("gzip", "W/")
    assert (written.status_code, description(client)) == (200, "Sent")
    assert again.status_code == 412
    assert (large.status_code, large.json()["status"]) == (413, 413)
    assert (named.json()["description"], refused.status_code) == ("Sent", 401)
    assert [client.get(path).status_code for path in ("/livez", "/readyz")] == [404] * 2
    assert "X-Request-ID" in client.get("/").headers
    log = (machine.folder / "var/log/nginx/order-statuses.log").read_text().splitlines()
    assert [line for line in log if " 200 " in line][-2].endswith(" s from-outside")
    (filter_,) = re.findall("^failregex = (.*)$", DEPLOYMENT, re.MULTILINE)
    matched = [line for line in log if "1 matched" in call_fail2ban(line, filter_)]
    assert matched == [line for line in log if '" 401 ' in line] != []


def call_fail2ban(line: str, filter_: str) -> str:
    command = ["fail2ban-regex", line, filter_]
    return subprocess.run(command, capture_output=True, text=True).stdout


def test_unit_is_valid_and_hardened(machine: Machine) -> None:
    unit = machine.folder / "etc" / "systemd" / "system" / "order-statuses.service"

    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
    assert f"Requires={unit.stem}.socket\n" in unit.read_text()
    (address,) = re.findall(
        "(?m)^ListenStream=(.*)$", unit.with_suffix(".socket").read_text()
    )
    nginx = machine.folder / "etc" / "nginx" / "conf.d" / "order-statuses.conf"
    assert set(re.findall("proxy_pass http://(.*);", nginx.read_text())) == {address}
    call("systemd-analyze", "security", "--offline=yes", "--threshold=30", str(unit))


def test_sqlite_path_leads_to_a_service_of_its_own_user() -> None:
    with ExitStack() as started:
        machine = Machine("nobody", "nowhere", started)
        machine.install("SQLite")
        (probe,) = code(section("PgBouncer, failover, several machines"), "nginx")
        nginx = machine.folder / "etc/nginx/conf.d/order-statuses.conf"
        probe = machine.here(probe).replace("10.0.0.0/8", "127.0.0.1")
        nginx.write_text(nginx.read_text().replace("server {", f"server {{\n{probe}"))
        call("nginx", "-c", f"{machine.folder}/nginx.conf", "-s", "reload")
        with machine.client() as client:
            describe(client, "Sent")
            wait_until(lambda: client.get("/readyz").status_code == 200)

            assert description(client) == "Sent"
            export = machine.follow("flask order-statuses export")
            assert '"description": "Sent"' in export
        data = machine.folder / "var/lib/order-statuses"
        assert {data.owner(), *(file.owner() for file in data.iterdir())} == {"nobody"}
        assert (machine.folder / "etc/order-statuses.env").stat().st_mode & 0o77 == 0


def test_role_of_the_service_cannot_change_the_tables(machine: Machine) -> None:
    drop = (
        'psql --set ON_ERROR_STOP=1 "$URL" -c "DROP TABLE order_statuses_key" 2>&1 || :'
    )

    assert "must be owner" in machine.follow(
        drop, URL=machine.settings()["DATABASE_URL"]
    )


def test_key_is_replaced_as_the_page_says(machine: Machine) -> None:
    old, new = machine.key(), machine.key()
    url = f"http://127.0.0.1:{machine.port}{STATUS}"
    assert httpx.get(url, auth=(ADMINISTRATOR, old)).status_code == 200
    environment = machine.settings()
    environment["FLASK_APP"] = "wsgi"
    flask = "cd /opt/order-statuses; .venv/bin/flask order-statuses"
    (user,) = json.loads(machine.follow(f"{flask} users --json", **environment))
    key_ids = {key["key_id"] for key in user["keys"]}
    machine.follow(f"{flask} revoke-key {key_hash(old)[:8]}", **environment)

    assert {key_hash(key)[:8] for key in (old, new)} <= key_ids
    assert {
        httpx.get(url, auth=(ADMINISTRATOR, old)).status_code for _ in range(20)
    } == {401}
    assert httpx.get(url, auth=(ADMINISTRATOR, new)).status_code == 200


def pids(server: Server) -> set[int]:
    return {worker.pid for worker in server.workers()}


def follow_to_new_workers(machine: Machine, block: str) -> None:
    before = pids(machine.service)
    machine.follow(block)
    wait_until(lambda: before.isdisjoint(pids(machine.service)))


def test_upgrade_and_the_way_back_refuse_no_request(
    machine: Machine, client: httpx.Client
) -> None:
    upgraded = Event()

    config = machine.folder / "upstream" / "config.py"
    config.write_text(
        re.sub("(?<=^__version__ = ).*", '"99.0"', config.read_text(), flags=re.M)
    )
    machine.release()

    def ask() -> list[int]:
        seen: list[int] = []
        while not upgraded.is_set():
            seen.append(client.get(STATUS).status_code)
            seen.append(client.put(STATUS, json={"description": "Sent"}).status_code)
        return seen

    def version() -> str:
        ready = httpx.get(f"http://127.0.0.1:{machine.port}/readyz")
        return str(ready.json()["version"])

    versions = [version()]
    with ThreadPoolExecutor() as threads:
        readers = [threads.submit(ask) for _ in range(3)]
        try:
            for block in code(section("Upgrade")):  # and back
                follow_to_new_workers(machine, block)
                versions.append(version())
        finally:
            upgraded.set()

        assert {status for r in readers for status in r.result()} == {200}
    assert versions == [versions[0], "99.0", versions[0]]


def test_backup_is_restored_under_the_running_service(
    machine: Machine, client: httpx.Client
) -> None:
    back_up, restore, *_ = code(section("Backup and restore"))
    describe(client, "Before")
    assert description(client) == "Before"
    machine.follow(back_up)
    describe(client, "After")
    assert description(client) == "After"

    machine.follow(restore)

    assert [description(client) for _ in range(10)] == ["Before"] * 10
    describe(client, "Again")
    assert [description(client) for _ in range(10)] == ["Again"] * 10


@pytest.fixture
def sqlite(machine: Machine) -> str:
    """A service with an SQLite file, filled; the file's name."""
    file = f"{machine.folder}/var/lib/order-statuses/statuses.db"
    flask = "cd /opt/order-statuses; .venv/bin/flask order-statuses"
    environment = {"DATABASE_URL": f"sqlite:///{file}"}
    Path(file).parent.mkdir(exist_ok=True)
    machine.follow(f"{flask} init; {flask} add-store 2 Second", **environment)
    return file


@pytest.fixture
def files_of_operator(machine: Machine) -> Iterator[list[Path]]:
    """The settings and root's .bashrc, as they were once the test is done."""
    files = [Path(machine.unit("EnvironmentFile")), machine.folder / "root/.bashrc"]
    texts = [file.read_text() for file in files]
    yield files
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)


def test_sqlite_moves_back_and_then_to_postgresql(
    machine: Machine, sqlite: str, files_of_operator: list[Path]
) -> None:
    flask = "cd /opt/order-statuses; .venv/bin/flask order-statuses"
    environment = {
        "DATABASE_URL": f"sqlite:///{sqlite}",
        "ORDER_STATUSES_LANGUAGES": "en,ru,de",
    }
    add = f"{flask} add-user two@shop.example --store 2"
    auth = ("two@shop.example", machine.follow(add, **environment).strip())
    add = f"{flask} add-user all@shop.example"
    everyone = ("all@shop.example", machine.follow(add, **environment).strip())
    *_, back_up, restore = code(section("Backup and restore"))
    port = str(free_port())
    base = f"http://127.0.0.1:{port}"
    with (
        machine.serve(PORT=port, **environment),
        httpx.Client(base_url=base, auth=everyone) as client,
    ):
        describe(client, "Before")
        own = {"email_subj": "", "email_header": 'a, "b"\r\nc\n'}
        client.put("/api/stores/2/statuses/2?lang_code=ru", json=own).raise_for_status()
        machine.follow(back_up)
        describe(client, "After")
        machine.follow(restore)
        assert [description(client) for _ in range(10)] == ["Before"] * 10
        client.post("/api/2.0/statuses", json={"description": "Proc"})
        german = client.put(f"{STATUS}?lang_code=de", json={"description": "Fertig"})
        german.raise_for_status()
        listed = client.get("/api/2.0/statuses?lang_code=ru").json()

    (roles,) = code(section("PostgreSQL"), "sql")
    create = re.sub(r"(DATABASE|connect) statuses", r"\1 moved", roles)
    create = create[create.index("CREATE DATABASE") :]
    psql = f"psql --quiet --set ON_ERROR_STOP=1 $SERVER <<'END'\n{create}END"
    machine.follow(psql, SERVER=machine.postgres)
    file, shell = files_of_operator
    server = machine.settings()["DATABASE_URL"].replace("/statuses?", "/moved?")
    shell.write_text(shell.read_text().replace("/statuses?", "/moved?"))
    export, copy = code(section("From SQLite to PostgreSQL"))
    file.write_text("".join(f'{name}="{x}"\n' for name, x in environment.items()))
    machine.follow(export)
    file.write_text(file.read_text().replace(environment["DATABASE_URL"], server))
    machine.follow(copy)

    with (
        machine.serve(PORT=port),
        httpx.Client(base_url=base, auth=auth) as bound,
        httpx.Client(base_url=base, auth=everyone) as client,
    ):
        theirs = bound.get("/api/stores/2/statuses/2?lang_code=ru").json()
        assert client.get("/api/2.0/statuses?lang_code=ru").json() == listed
        assert client.get(f"{STATUS}?lang_code=de").json()["description"] == "Fertig"
        assert description(client) == "Before"
        created = client.post("/api/2.0/statuses", json={"description": "Packed"})
    assert {name: theirs[name] for name in own} == own
    assert created.json()["status_id"] == "13"


def test_metrics_arrive_at_a_statsd(machine: Machine) -> None:
    port = str(free_port())
    with socket.socket(type=socket.SOCK_DGRAM) as statsd:
        statsd.bind(("127.0.0.1", 0))
        statsd.settimeout(SECONDS)
        (setting,) = re.findall('`GUNICORN_CMD_ARGS="(--statsd-host .*?)"', DEPLOYMENT)
        ours = f"127.0.0.1:{statsd.getsockname()[1]}"
        arguments = setting.replace("127.0.0.1:8125", ours)
        with machine.serve(PORT=port, GUNICORN_CMD_ARGS=arguments):
            httpx.get(f"http://127.0.0.1:{port}{STATUS}")
            names = set(
                re.findall(r"`(gunicorn\.[a-z.]+)[^`]*`", section("Monitoring"))
            )
            names -= {"gunicorn.log.critical"}  # which a healthy service does not send
            assert len(names) == 4
            while names:
                seen = statsd.recv(4096).decode()
                names = {name for name in names if not seen.startswith(name)}
