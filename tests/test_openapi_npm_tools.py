"""Tools from npm that know nothing but the document: a typed client, a linter, Postman,
and a proxy that lets only what the document allows through.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from .conftest import ADMINISTRATOR, KEY, fill
from .contract import PREFIXES
from .document import SETTINGS, operations, served
from .servers import ROOT, free_port, gunicorn, is_open, stop, wait_until

pytestmark = pytest.mark.slow

FOLDER = ROOT / "tests" / "npm"
PROGRAMS = FOLDER / "node_modules" / ".bin"
NODE = (20, 19)  # as in package.json
USER, PASSWORD = ADMINISTRATOR, KEY + ADMINISTRATOR
# Nothing is asked of Redocly's host, which would be waited for.
QUIET = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
# No operation refuses to show the document.
KNOWN_PROBLEMS = {("operation-4xx-response", "#/paths/~1openapi.json/get/responses")}


@pytest.fixture(scope="module", autouse=True)
def tools() -> None:
    """Need Node, and what make install-npm installs."""
    if needed := missing():
        pytest.fail(needed) if os.environ.get("CI") else pytest.skip(needed)


def missing() -> str | None:
    """Say what these tests need and do not find, if anything."""
    wanted = "These tests need Node {}.{} or newer".format(*NODE)
    if not shutil.which("node"):
        return wanted
    version = subprocess.check_output(["node", "--version"], text=True).strip()
    if tuple(map(int, version[1:].split(".")[:2])) < NODE:
        return f"{wanted}, not {version}"
    if not PROGRAMS.exists():
        return "These tests need tools from npm: make install-npm"
    return None


def run(folder: Path, tool: str, *arguments: str) -> str:
    """Run a *tool* in *folder*, and return its output, which is shown if it fails."""
    done = subprocess.run(
        [PROGRAMS / tool, *arguments],
        cwd=folder,
        env=os.environ | QUIET,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the API of a fresh service."""
    database = f"sqlite:///{tmp_path_factory.mktemp('service')}/statuses.db"
    fill(database)
    with gunicorn(database) as url:
        yield f"{url}/api/2.0"


def test_typescript_takes_right_clients_and_refuses_wrong_ones(tmp_path: Path) -> None:
    (tmp_path / "openapi.json").write_text(json.dumps(served()))
    shutil.copy(FOLDER / "client.ts", tmp_path)
    run(tmp_path, "openapi-typescript", "openapi.json", "--output=contract.ts")

    run(tmp_path, "tsc", "--strict", "--noEmit", "client.ts")


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_redocly_finds_nothing(
    tmp_path: Path, prefix: str, settings: dict[str, str]
) -> None:
    (tmp_path / "openapi.json").write_text(json.dumps(served(prefix, **settings)))
    report = run(tmp_path, "redocly", "lint", "openapi.json", "--format=json")
    problems = {
        (problem["ruleId"], problem["location"][0]["pointer"])
        for problem in json.loads(report)["problems"]
    }

    assert problems == KNOWN_PROBLEMS


def test_postman_needs_no_change_of_what_it_imports(
    tmp_path: Path, server: str
) -> None:
    document = httpx.get(f"{server}/openapi.json").json()
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    run(
        tmp_path,
        "openapi2postmanv2",
        "--spec=openapi.json",
        "--output=collection.json",
        "--options=parametersResolution=Example",
    )
    run(
        tmp_path,
        "newman",
        "run",
        "collection.json",
        f"--env-var=baseUrl={server}",
        f"--env-var=basicAuthUsername={USER}",
        f"--env-var=basicAuthPassword={PASSWORD}",
        "--reporters=json",
        "--reporter-json-export=report.json",
    )
    executions = json.loads((tmp_path / "report.json").read_text())["run"]["executions"]
    codes = [(one["item"]["name"], one["response"]["code"]) for one in executions]

    assert len(codes) == len(operations(document))
    assert [(name, code) for name, code in codes if not 200 <= code < 300] == []


# A proxy that refuses what the document does not allow, requests and responses.


@pytest.fixture(scope="module")
def proxy(server: str) -> Iterator[httpx.Client]:
    """A client of the service that sends everything through Prism."""
    port = free_port()
    command = [str(PROGRAMS / "prism"), "proxy", f"{server}/openapi.json", server]
    with subprocess.Popen([*command, "--errors", f"--port={port}"]) as process:
        try:
            wait_until(lambda: process.poll() is not None or is_open(port))
            base, user = f"http://127.0.0.1:{port}", (USER, PASSWORD)
            with httpx.Client(base_url=base, auth=user, timeout=60) as client:
                yield client
        finally:
            stop(process)


def parts(**fields: str) -> dict[str, Any]:
    return {"files": {name: (None, text) for name, text in fields.items()}}


PLAIN = {"Content-Type": "text/plain"}
PARAM = {"params[color]": "#123456"}
# What makes a status with a colour, changes its name alone, and its e-mail in a store.
WRITES: dict[str, list[dict[str, Any]]] = {
    "JSON": [
        {"json": {"description": "Packed", "params": {"color": "#123456"}}},
        {"json": {"description": "Sent"}},
        {"json": {"email_subj": "is sent"}},
    ],
    "urlencoded": [
        {"data": {"description": "Packed", **PARAM}},
        {"data": {"description": "Sent"}},
        {"data": {"email_subj": "is sent"}},
    ],
    "multipart": [
        parts(description="Packed", **PARAM),
        parts(description="Sent"),
        parts(email_subj="is sent"),
    ],
    "text/plain": [
        {
            "headers": PLAIN,
            "content": "description=Packed&params[color]=%23123456",
        },
        {"headers": PLAIN, "content": "description=Sent"},
        {"headers": PLAIN, "content": "email_subj=is+sent"},
    ],
}


@pytest.mark.parametrize("kind", WRITES)
def test_proxy_lets_valid_bodies_through(proxy: httpx.Client, kind: str) -> None:
    new, change, texts = WRITES[kind]
    created = proxy.post("/statuses", **new)
    assert created.status_code == 201, created.text
    id_ = created.json()["status_id"]
    for address, body in (("", change), ("/stores/1", texts)):
        updated = proxy.put(f"{address}/statuses/{id_}", **body)
        assert updated.status_code == 200, updated.text

    status = proxy.get(f"/stores/1/statuses/{id_}").json()
    assert (status["description"], status["email_subj"]) == ("Sent", "is sent")
    assert status["params"] == {"color": "#123456"}


@pytest.mark.parametrize(
    "body", [{"json": {"type": "O"}}, {"data": {"type": "O"}}, parts(type="O")]
)
def test_proxy_refuses_invalid_bodies(
    proxy: httpx.Client, body: dict[str, Any]
) -> None:
    refused = proxy.post("/statuses", **body)

    assert refused.status_code == 422
    assert "must have required property 'description'" in refused.text


def test_proxy_lets_filters_through(proxy: httpx.Client) -> None:
    listed = proxy.get("/statuses", params={"params[inventory]": "D", "status": "P,F"})

    assert [status["status_id"] for status in listed.json()] == ["1"]
