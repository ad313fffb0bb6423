"""Following one request: its id, and the lines of the log."""

import json
import logging
import re
import subprocess
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest
from flask import Flask
from flask.testing import FlaskClient

from .conftest import ADMINISTRATOR, BOUND, KEY, KEY_ID, basic, on_sqlite
from .docs import OPERATIONS
from .servers import ROOT, Server, serving

pytestmark = pytest.mark.one_database

WHO = f"'{ADMINISTRATOR}' {KEY_ID}"
STATUSES = "/api/2.0/statuses"


@pytest.mark.parametrize(
    "path", [STATUSES, f"{STATUSES}/99", "/api.php?_d=statuses", "/livez", "/nothing"]
)
@pytest.mark.parametrize("method", ["GET", "OPTIONS", "PATCH"])
def test_every_response_has_the_id_that_was_sent(
    client: FlaskClient, path: str, method: str
) -> None:
    sent = "Az09._-" + "x" * 57
    response = client.open(path, method=method, headers={"X-Request-ID": sent})

    assert response.headers.get_all("X-Request-ID") == [sent]


@pytest.mark.parametrize("sent", [None, "", "x" * 65, "a b", "a\tb", 'a"', "é", "a,b"])
def test_request_without_a_usable_id_gets_a_new_one(
    client: FlaskClient, stranger: FlaskClient, sent: str | None
) -> None:
    del client.environ_base["HTTP_X_REQUEST_ID"]
    headers = {"X-Request-ID": sent} if sent is not None else {}
    responses = [c.get(STATUSES, headers=headers) for c in (client, client, stranger)]
    ids = [response.headers["X-Request-ID"] for response in responses]

    assert all(re.fullmatch("[0-9a-f]{16}", request_id) for request_id in ids)
    assert len(set(ids)) == 3


@pytest.fixture
def written(app: Flask, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "order_statuses")
    return caplog


def test_write_is_one_line(
    client: FlaskClient, written: pytest.LogCaptureFixture
) -> None:
    created = client.post(
        STATUSES,
        json={"description": "Packed\u2028and", "params": {"color": "#ffffff"}},
    )
    address = f"{STATUSES}/12"
    client.put(address, json={"email_subj": "packed", "params": {"a": "1"}})
    client.put("/api/stores/1/statuses/12/", json={"email_header": "text", "x": "y"})
    client.put(f"{address}?lang_code=ru", json={"description": "Упакован\u2028"})
    client.delete(address)

    assert created.headers["Location"] == address
    assert written.messages == [
        f"{WHO} POST '{STATUSES}' 12 ['type', 'description', 'params.color']",
        f"{WHO} PUT '{address}' 12 ['email_subj', 'params.a']",
        f"{WHO} PUT '/api/stores/1/statuses/12/' 12 ['email_header']",
        f"{WHO} PUT '{address}' 12 ['description']",
        f"{WHO} DELETE '{address}' 12 {{'type': 'O', 'status': 'A', "
        "'en': 'Packed\\u2028and', 'ru': 'Упакован'}",
    ]


def test_line_of_a_write_is_bounded(
    client: FlaskClient, written: pytest.LogCaptureFixture
) -> None:
    nothing = {f"{n:03}".ljust(64, "x"): None for n in range(990)}
    client.put(f"{STATUSES}/2", json={"params": nothing})

    (line,) = written.messages
    assert line.startswith(f"{WHO} PUT '{STATUSES}/2' 2 ['params.000xxx")
    assert len(line) == 1900


def test_what_is_refused_or_read_is_no_line(
    client: FlaskClient,
    bound_client: FlaskClient,
    written: pytest.LogCaptureFixture,
) -> None:
    client.get(STATUSES)
    client.put(f"{STATUSES}/2", json={"description": ""})
    client.delete(f"{STATUSES}/1")
    bound_client.delete(f"{STATUSES}/3")

    assert written.messages == []


FORGED = "%0a127.0.0.1 [] - - 401"
ACCESS = re.compile(
    r'127\.0\.0\.1 \[[^]]+\] (\S+) (\S+) "(GET|PUT) (\S+) HTTP/1.1" (\d+) \d+ ms (\S+)'
)


def settings_in_docs(name: str) -> str:
    """Return the one line of docs/operations.md that sets *name*."""
    (value,) = re.findall(rf"^{name} = (.*)$", OPERATIONS, re.MULTILINE)
    return str(value)


def log_of(server: Server) -> list[str]:
    """Return the lines of all requests that were answered."""
    ask(server, "/livez")  # the one worker has written them before it serves this one
    return server.log.read_text().splitlines()


def ask(server: Server, path: str, email: str = "", **headers: str) -> int:
    if email:
        headers["Authorization"] = basic(email, KEY + ADMINISTRATOR)
    return httpx.get(server.url + path, headers=headers).status_code


@pytest.mark.slow
@on_sqlite
def test_log_of_a_server_tells_who_asked_for_what(database: str) -> None:
    break_it = "ALTER TABLE order_statuses_status RENAME TO gone"
    with serving(database) as server:
        asked = [
            ask(server, f"{STATUSES}?type=G", ADMINISTRATOR, **{"X-Request-ID": "r1"}),
            ask(server, STATUSES, BOUND, **{"X-Request-ID": "r2"}),
            ask(server, f"/api/2.0/{FORGED}", BOUND, **{"X-Request-ID": "r3"}),
        ]
        httpx.put(
            f"{server.url}{STATUSES}/2",
            json={"email_subj": "x"},
            headers={
                "Authorization": basic(ADMINISTRATOR, KEY + ADMINISTRATOR),
                "X-Request-ID": "r4",
            },
        ).raise_for_status()
        subprocess.run(["sqlite3", database.removeprefix("sqlite:///"), break_it])
        asked.append(ask(server, STATUSES, ADMINISTRATOR, **{"X-Request-ID": "r5"}))
        log = "\n".join(log_of(server))

    assert asked == [200, 401, 401, 503]
    known = (ADMINISTRATOR, KEY_ID)
    assert [line for line in ACCESS.findall(log) if line[-1].startswith("r")] == [
        (*known, "GET", f"{STATUSES}?type=G", "200", "r1"),
        ("-", "-", "GET", STATUSES, "401", "r2"),
        ("-", "-", "GET", "/api/2.0/%0a127.0.0.1%20[]%20-%20-%20401", "401", "r3"),
        (*known, "PUT", f"{STATUSES}/2", "200", "r4"),
        (*known, "GET", STATUSES, "503", "r5"),
    ]
    assert f"[INFO] [r4] {WHO} PUT '{STATUSES}/2' 2 ['email_subj']\n" in log
    assert "[ERROR] [r5] The database is not set up" in log
    for secret in (KEY + ADMINISTRATOR, BOUND):
        assert secret not in log


@pytest.mark.slow
@on_sqlite
def test_log_may_be_json_lines(database: str, tmp_path: Path) -> None:
    settings = tmp_path / "gunicorn.conf.py"
    settings.write_text(
        (ROOT / "gunicorn.conf.py").read_text()
        + f"access_log_format = {settings_in_docs('access_log_format')}"
    )
    hostile = '/api/\\",%22%5c%0a"/'
    with serving(database, GUNICORN_CMD_ARGS=f"--config={settings}") as server:
        httpx.Client().get(f"{server.url}{STATUSES}/2")
        with closing(HTTPConnection(httpx.URL(server.url).netloc.decode())) as wire:
            wire.putrequest("GET", hostile)
            wire.endheaders()
            wire.getresponse()
        lines = [line for line in log_of(server) if line.startswith("{")]

    plain, odd = (json.loads(line) for line in lines if '"status": 401' in line)
    assert (plain["path"], plain["status"], plain["user"]) == (
        f"{STATUSES}/2",
        401,
        "-",
    )
    assert odd["path"].startswith("/api/%5C%22%2C%22%5C%0A%22/")


@pytest.mark.slow
@on_sqlite
def test_fail2ban_matches_each_401_and_nothing_else(database: str) -> None:
    with serving(database) as server:
        before = len(log_of(server))
        for path in (STATUSES, f"/api/2.0/{FORGED}", '/api/" 401 3 ms x'):
            assert ask(server, path) == 401
        for path in (STATUSES, f'{STATUSES}?a=" 401 3 ms x', f"{STATUSES}/{FORGED}"):
            assert ask(server, path, ADMINISTRATOR) != 401
        assert ask(server, '/" 401 3 ms x') == 404
        lines = log_of(server)[before:]

    matched = [matches(line) for line in lines if "/livez" not in line]
    assert matched == [True] * 3 + [False] * 4


def matches(line: str) -> bool:
    command = ["fail2ban-regex", line, settings_in_docs("failregex")]
    found = subprocess.run(command, capture_output=True, text=True).stdout
    return "1 matched" in found
