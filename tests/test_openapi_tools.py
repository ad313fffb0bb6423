"""Tools that know nothing but the document: a fuzzer, and a generated client."""

import os
import subprocess
import sys
from base64 import b64encode
from importlib import import_module
from pathlib import Path
from string import ascii_uppercase

import pytest

from .conftest import ADMINISTRATOR, KEY
from .servers import ROOT, gunicorn

pytestmark = pytest.mark.slow

CREDENTIALS = f"{ADMINISTRATOR}:{KEY}{ADMINISTRATOR}"
# Letters for a long while: schemathesis creates hundreds of statuses.
TYPES = ",".join(["O", "G", *ascii_uppercase.replace("O", "").replace("G", "")])


def run(tool: str, *arguments: str) -> None:
    """Run a *tool* of this environment; its output is shown if it fails."""
    programs = Path(sys.executable).parent
    done = subprocess.run(
        [programs / tool, *arguments],
        cwd=ROOT,
        # The generated code is formatted by ruff, which is among them.
        env=os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_schemathesis_finds_nothing(database: str) -> None:
    with gunicorn(
        database,
        ORDER_STATUSES_TYPES=TYPES,
        GUNICORN_CMD_ARGS="--limit-request-line=0",  # so that the service answers
    ) as server:
        run(
            "schemathesis",
            "--config-file=tests/fuzzing.toml",
            "run",
            f"{server}/api/2.0/openapi.json",
            f"--auth={CREDENTIALS}",
        )


def test_generated_client_creates_reads_updates_and_deletes(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    with gunicorn(database) as server:
        run(
            "openapi-python-client",
            "generate",
            f"--url={server}/api/2.0/openapi.json",
            "--meta=none",
            f"--output-path={tmp_path}/generated",
        )
        exercise(f"{server}/api/2.0")
    for name in [name for name in sys.modules if name.startswith("generated")]:
        monkeypatch.delitem(sys.modules, name)  # each database has its own client


def exercise(url: str) -> None:
    """Use the generated client as its user would."""
    models = import_module("generated.models")
    statuses = "generated.api.statuses.statuses_"
    create, show, index, update, delete = (
        import_module(statuses + name)
        for name in ("create", "show", "index", "update", "delete")
    )
    set_in_store = import_module("generated.api.stores.stores_update_status")
    show_in_store = import_module("generated.api.stores.stores_show_status")
    client = import_module("generated.client").AuthenticatedClient(
        base_url=url,
        token=b64encode(CREDENTIALS.encode()).decode(),
        prefix="Basic",
        raise_on_unexpected_status=True,
    )

    params = models.Params(color="#ffffff", notify=True)
    new = models.StatusBody(description="Packed", params=params)
    created = create.sync(client=client, body=new)
    assert created.status_id == "12"

    read = show.sync("12", client=client)
    assert (read.status, read.description) == ("A", "Packed")
    assert read.params.to_dict() == {"color": "#ffffff", "notify": "Y"}
    assert [s.status_id for s in index.sync(client=client)][-1] == "12"

    found = index.sync(client=client, paramscolor="#ffffff", paramsnotify="Y")
    assert [s.status_id for s in found] == ["12"]

    for kind in (models.ChangesForm, models.ChangesMultipart, models.ChangesBody):
        changes = kind(email_subj="is packed", lang_code=models.Language.RU)
        assert update.sync("12", client=client, body=changes).status_id == "12"
        changed = show.sync("12", client=client, lang_code="ru")
        assert changed.email_subj == "is packed"
        back = models.ChangesBody(email_subj="", lang_code=models.Language.RU)
        update.sync("12", client=client, body=back)

    changes = models.ChangesBody(email_subj="is packed")
    assert update.sync("12", client=client, body=changes).status_id == "12"
    for kind in (models.ChangesForm, models.ChangesMultipart):
        changes = kind()
        changes["params[color]"] = "#000000"
        changes["params[sort]"] = kind.__name__
        assert update.sync("12", client=client, body=changes).status_id == "12"
        params = {"color": "#000000", "notify": "Y", "sort": kind.__name__}
        assert show.sync("12", client=client).params.to_dict() == params

    texts = models.StoreTextsBody(email_subj="is packed here")
    set_in_store.sync("1", "12", client=client, body=texts)
    assert show.sync("12", client=client).email_subj == "is packed"
    assert show_in_store.sync("1", "12", client=client).email_subj == "is packed here"

    assert delete.sync_detailed("12", client=client).status_code == 204
    assert (
        show.sync("12", client=client).message == "Not Found: There is no such status."
    )
