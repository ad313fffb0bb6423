"""The catalogue as a file: export, apply and init."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from order_statuses import host
from order_statuses.models import TOKEN, Status, StatusText, StoreText, db

from .conftest import (
    ADMINISTRATOR,
    Databases,
    PostgresDatabases,
    SqliteDatabases,
    client_of,
    service,
)
from .test_commands import run

Json = dict[str, Any]

NEW: Json = {"type": "O", "status": "Z", "texts": {"en": {"description": "New"}}}


def export(app: Flask) -> str:
    exported = run(app, "export")
    assert exported.exit_code == 0
    text: str = exported.stdout
    return text


def apply(app: Flask, file: object, *options: str) -> Any:
    """Apply a catalogue, or text, from standard input."""
    text = file if isinstance(file, str | bytes) else json.dumps(file)
    arguments = ["order-statuses", "apply", "-", *options]
    return app.test_cli_runner().invoke(args=arguments, input=text)


def init(url: str, file: str, path: Path) -> str:
    """Return what is exported after ``init FILE`` on an empty database."""
    path.write_text(file, encoding="utf-8")
    with service(url) as app:
        assert run(app, "init", str(path)).exit_code == 0
        return export(app)


def token(app: Flask) -> str | None:
    with app.app_context():
        return db.session.scalar(TOKEN)


def change(client: FlaskClient) -> None:
    """Change the stock data by the API in every way that it has."""
    new = {
        "description": "Packed",
        "email_header": "<b>\u2028</b>",
        "params": {"z": ""},
    }
    client.post("/api/2.0/statuses", json=new)
    client.post("/api/2.0/statuses", json={"type": "G", "description": "Gone"})
    client.put("/api/2.0/statuses/2?lang_code=ru", json={"description": "Готов"})
    order = {"params": {"repay": None, "a.b": "1"}, "is_default": "N"}
    client.put("/api/2.0/statuses/1", json=order)
    client.put("/api/2.0/statuses/1", json={"params": {"repay": "N"}})
    client.put("/api/2.0/stores/2/statuses/2", json={"email_subj": "in store 2"})
    client.put("/api/2.0/stores/1/statuses/2", json={"email_subj": "x"})
    client.put("/api/2.0/stores/1/statuses/2", json={"email_subj": None})
    client.delete("/api/2.0/statuses/3")
    client.delete("/api/2.0/statuses/12")


@pytest.fixture
def catalogue(app: Flask) -> Json:
    """The stock data, with a second store, as a file."""
    exported: Json = json.loads(export(app))
    return exported


def of(catalogue: Json, letter: str) -> Any:
    """Return the order status with that letter."""
    (found,) = (
        status
        for status in catalogue["statuses"]
        if (status["type"], status["status"]) == ("O", letter)
    )
    return found


def test_export_is_canonical(app: Flask) -> None:
    text = export(app)
    exported = json.loads(text)

    assert text == json.dumps(exported, ensure_ascii=False, indent=2) + "\n"
    assert [(s["type"], s["status"]) for s in exported["statuses"]] == sorted(
        (s["type"], s["status"]) for s in exported["statuses"]
    )
    assert (
        of(exported, "P")
        == json.loads(Path("stock.json").read_text(encoding="utf-8"))["statuses"][0]
    )


def test_catalogue_survives_a_move(
    app: Flask, client: FlaskClient, empty_database: str, tmp_path: Path
) -> None:
    change(client)
    text = export(app)

    assert init(empty_database, text, tmp_path / "file") == text


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_catalogue_survives_a_move_between_databases(
    app: Flask, client: FlaskClient, kind: str, tmp_path: Path, postgres: str
) -> None:
    others: Databases = (
        SqliteDatabases(tmp_path) if kind == "sqlite" else PostgresDatabases(postgres)
    )
    change(client)
    text = export(app)
    url = others.create()

    assert init(url, text, tmp_path / "file") == text
    others.drop(url)


def test_ids_go_on_after_a_move(
    client: FlaskClient, app: Flask, empty_database: str, tmp_path: Path
) -> None:
    change(client)
    init(empty_database, export(app), tmp_path / "file")

    with service(empty_database) as moved:
        run(moved, "add-user", ADMINISTRATOR)
        created = apply(
            moved,
            {
                "stores": [],
                "statuses": [
                    NEW,
                    NEW | {"status": "Y", "status_id": 40},
                ],
            },
        )
        ids = {row["status_id"] for row in json.loads(export(moved))["statuses"]}

    assert created.exit_code == 0
    assert {13, 40, 41} <= ids


def test_apply_makes_the_catalogue_that_of_the_file(
    app: Flask, client: FlaskClient, database: str
) -> None:
    change(client)
    text = export(app)

    with service(database) as production:
        assert apply(production, text, "--prune").exit_code == 0
        assert export(production) == text


def test_second_apply_writes_nothing(app: Flask, catalogue: Json) -> None:
    of(catalogue, "P")["texts"]["ru"]["description"] = "Готов"
    first = apply(app, catalogue)
    before = token(app)

    second = apply(app, catalogue)

    assert first.stdout == (
        "changed O P\n  texts.ru.description: 'Обработан' → 'Готов'\nunchanged: 10\n"
    )
    assert (second.exit_code, second.stdout) == (0, "unchanged: 11\n")
    assert token(app) == before


def test_dry_run_shows_the_plan_and_changes_nothing(
    app: Flask, catalogue: Json
) -> None:
    before, text = token(app), export(app)
    unchanged = apply(app, catalogue, "--dry-run")
    catalogue["statuses"].remove(of(catalogue, "B"))
    of(catalogue, "P")["params"] = {"repay": "Y", "new": "1"}
    catalogue["statuses"].remove(of(catalogue, "C"))
    catalogue["statuses"].append(NEW | {"status_id": 2})
    catalogue["stores"][1]["name"] = "Other"

    planned = apply(app, catalogue, "--dry-run", "--prune")

    assert unchanged.exit_code == 0
    assert planned.exit_code == 4
    assert planned.stdout.splitlines() == [
        "store 2: 'Other'",
        "kept O C: A default status cannot be deleted; set is_default to N.",
        "O Z gets another id: 2 is taken.",
        "deleted O B",
        "changed O P",
        "  params.allow_return: 'N' → None",
        "  params.repay: 'N' → 'Y'",
        "  params.gift_cert_status: 'P' → None",
        "  params.notify: 'Y' → None",
        "  params.inventory: 'D' → None",
        "  params.color: '#97cf4d' → None",
        "  params.remove_cc_info: 'Y' → None",
        "  params.new: None → '1'",
        "created O Z",
        "unchanged: 9",
    ]
    assert (token(app), export(app)) == (before, text)


def test_order_of_params_is_that_of_the_file(app: Flask, catalogue: Json) -> None:
    complete = of(catalogue, "C")
    complete["params"] = dict(reversed(complete["params"].items()))

    applied = apply(app, catalogue, "--prune")

    assert applied.stdout == "changed O C\nunchanged: 10\n"
    assert json.dumps(json.loads(export(app))) == json.dumps(catalogue)


def test_nothing_is_deleted_without_prune(app: Flask, catalogue: Json) -> None:
    text = export(app)
    of(catalogue, "P").update(params={}, texts={})
    catalogue["statuses"] = [of(catalogue, "P")]
    catalogue["stores"] = []

    assert apply(app, catalogue).stdout == "unchanged: 11\n"
    assert export(app) == text


def test_what_a_file_cannot_have_is_never_pruned(
    app: Flask, client: FlaskClient, catalogue: Json
) -> None:
    client.put("/api/2.0/stores/2/statuses/2", json={"email_subj": "in store 2"})
    with app.app_context():
        db.session.add(StatusText(status_id=2, lang_code="de", description="Fertig"))
        db.session.add(Status(type="X", status="A", status_id=77))
        db.session.commit()
    del catalogue["stores"][1]
    of(catalogue, "C")["params"] = {}

    exported = run(app, "export")
    applied = apply(app, catalogue, "--prune")

    assert exported.stderr == "Left out, since not configured: X, de.\n"
    assert "unchanged: 10\n" in applied.stdout
    with app.app_context():
        assert db.session.get_one(StatusText, (2, "de")).description == "Fertig"
        assert db.session.get_one(StoreText, (2, 2, "en")).email_subj == "in store 2"
        assert db.session.get_one(Status, 77).type == "X"


def test_prune_keeps_what_is_built_in_or_in_use(
    app: Flask, client: FlaskClient, catalogue: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.post("/api/2.0/statuses", json={"description": "Packed"})
    in_use = {"A": 3}
    count = lambda status: in_use.get(status.status, 0)  # noqa: E731
    monkeypatch.setitem(app.config, "ORDER_STATUSES_IN_USE", count)
    catalogue["statuses"] = [of(catalogue, "P")]

    planned = apply(app, catalogue, "--prune", "--dry-run").stdout.splitlines()
    apply(app, catalogue, "--prune")

    in_use_by = "Orders use this status: 3. Give them another first."
    assert f"kept O A: {in_use_by}" in planned
    assert any(line.startswith("kept O C: A default status") for line in planned)
    assert "deleted O B" in planned
    letters = [
        status["status"] for status in client.get("/api/2.0/statuses").get_json()
    ]
    assert letters == ["P", "C", "F", "D", "O", "I", "A"]


def test_signals_are_sent_as_for_requests(app: Flask, catalogue: Json) -> None:
    catalogue["statuses"].remove(of(catalogue, "B"))
    of(catalogue, "P")["texts"]["ru"]["description"] = "Готов"
    of(catalogue, "C")["store_texts"] = {"2": {"en": {"email_subj": "x"}}}
    of(catalogue, "F")["is_default"] = "N"
    catalogue["statuses"].append(NEW)
    sent: list[Any] = []

    def receive(app: Flask, **values: Any) -> None:
        status = values["status"]
        who = (values["caller"].name, values["store_id"])
        sent.append((status.status, status.lang_code, status.description, *who))

    signals = (host.status_created, host.status_updated, host.status_deleted)
    for signal in signals:
        signal.connect(receive, app)
    apply(app, catalogue, "--prune", "--dry-run")
    apply(app, catalogue, "--prune")
    for signal in signals:
        signal.disconnect(receive, app)

    name = "flask order-statuses"
    assert sent == [
        ("B", "en", "Backordered", name, None),
        ("C", "en", "Complete", name, 2),
        ("F", "en", "Failed", name, None),
        ("P", "ru", "Готов", name, None),
        ("Z", "en", "New", name, None),
    ]


def test_every_problem_is_named_with_its_place(app: Flask, catalogue: Json) -> None:
    before, text = token(app), export(app)
    statuses = catalogue["statuses"]
    statuses[0]["texts"]["ru"]["description"] = " "
    statuses[1]["texts"]["de"] = {"description": "x"}
    statuses[2]["store_texts"] = {"1": {"en": {"email_subj": "a\nb"}}, "9": {}}
    statuses[3]["params"] = {"color": "red"}
    statuses[4] |= {"status": "N", "status_id": "5", "text": {}}
    statuses[5]["status_id"] = statuses[6]["status_id"]
    statuses.append(dict(statuses[7]))
    catalogue["stores"][0]["name"] = ""

    refused = apply(app, catalogue)

    assert refused.exit_code == 1
    for place in (
        "statuses[0].texts.ru.description: ",
        "statuses[1].texts.de: Must be one of: en, ru.",
        "statuses[2].store_texts.1.en.email_subj: Must be a single line",
        "statuses[2].store_texts.9: No such store",
        "statuses[3].params",
        "statuses[4].status: ",
        "statuses[4].status_id: ",
        "statuses[4].text: Unknown field.",
        "statuses[6].status_id: statuses[5] has the same status_id.",
        "statuses[11].status: statuses[7] has the same type and status.",
        "stores[0].name: ",
    ):
        assert place in refused.stderr
    assert (token(app), export(app)) == (before, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON: Expecting value at line 1, column 1"),
        ("{", "not valid JSON"),
        ("[]", "Send a JSON object, such as what export writes."),
        ("{}", "stores: Missing data for required field."),
        ('{"stores": [], "stores": []}', "has a key twice"),
        (b"\xff", "The file is not UTF-8"),
        ('{"stores": [], "statuses": ["\\u0000"]}', "The file has a NUL character"),
        ('{"stores": {}, "statuses": [5], "x": 1}', "statuses[0]: Invalid input type."),
        ('{"stores": 5, "statuses": null, "users": [[]]}', "stores: Not a valid list."),
    ],
)
def test_broken_file_is_refused(app: Flask, text: str | bytes, message: str) -> None:
    before = token(app)
    for options in ([], ["--prune", "--dry-run"]):
        refused = apply(app, text, *options)

        assert refused.exit_code == 1
        assert refused.stdout == ""
        assert message in refused.stderr
    assert token(app) == before


def test_params_are_at_most_64_in_all(app: Flask, catalogue: Json) -> None:
    text = export(app)
    of(catalogue, "P")["params"] = {f"p{n}": "" for n in range(60)}

    assert "].params: More than 64." in apply(app, catalogue).stderr
    assert export(app) == text
    assert apply(app, catalogue, "--prune").exit_code == 0


def test_new_status_needs_a_description(app: Flask, catalogue: Json) -> None:
    text = export(app)
    catalogue["statuses"].append(NEW | {"texts": {"en": {"email_subj": "x"}}})

    refused = apply(app, catalogue)

    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "statuses[11].texts: A new status has no description." in refused.stderr
    assert export(app) == text


def test_init_leaves_what_is_there_alone(
    app: Flask, client: FlaskClient, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text(export(app))
    change(client)
    text = export(app)

    done = run(app, "init", str(file))

    assert done.exit_code == 0
    assert "It is not empty" in done.stderr
    assert export(app) == text


def test_init_refuses_a_broken_file(empty_database: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("{}")
    with service(empty_database) as app:
        refused = run(app, "init", str(tmp_path / "file"))

        assert refused.exit_code == 1
        assert "statuses: Missing data" in refused.stderr
        assert run(app, "export").exit_code == 1  # there are no tables


def test_export_replaces_a_file(app: Flask, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")

    assert run(app, "export", str(file)).stdout == ""
    assert file.read_text(encoding="utf-8") == export(app)


def test_users_move_with_their_keys(
    app: Flask, client: FlaskClient, empty_database: str, tmp_path: Path
) -> None:
    file = str(tmp_path / "users")
    run(app, "deactivate-user", "one@shop.example")
    assert run(app, "export", file, "--users").exit_code == 0
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    secret = Path(file).read_text(encoding="utf-8")

    with service(empty_database) as moved:
        run(moved, "init", file)
        before = run(moved, "users").stdout
        added = run(moved, "apply", file, "--users")
        seen = client_of(moved, ADMINISTRATOR).get("/api/2.0/statuses")
        again = run(moved, "apply", file, "--users")
        users = run(moved, "users", "--json").stdout

    assert (before, added.exit_code, seen.status_code) == ("", 0, 200)
    assert f"user {ADMINISTRATOR}\n" in added.stdout
    assert again.exit_code == 1
    assert "has API users already" in again.stderr
    assert users == run(app, "users", "--json").stdout
    assert '"users"' in secret
    assert '"users"' not in export(app)


def test_users_are_written_to_a_new_file_alone(app: Flask, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")

    assert run(app, "export", str(file), "--users").exit_code == 1
    assert run(app, "export", "--users").exit_code == 2
    assert run(app, "export", "-", "--users").exit_code == 2
    assert file.read_text() == "old"


def start(url: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "flask", "--app", "wsgi", "order-statuses", *arguments],
        env=os.environ | {"DATABASE_URL": url},
        stdout=subprocess.DEVNULL,
    )


@pytest.mark.slow
def test_applies_at_once_end_as_one_after_the_other(
    database: str, tmp_path: Path
) -> None:
    with service(database) as app:
        file = json.loads(export(app))
        for letter in "HJKL":
            of(file, "P")["params"] = {"letter": letter}
            new = NEW | {"status": letter, "status_id": 50}
            both = file | {"statuses": [*file["statuses"], new]}
            (tmp_path / letter).write_text(json.dumps(both))

        started = [start(database, "apply", str(tmp_path / name)) for name in "HJKL"]
        codes = [process.wait() for process in started]
        made = json.loads(export(app))

    new_ids = {s["status"]: s["status_id"] for s in made["statuses"]}
    assert codes == [0] * 4
    assert sorted(new_ids[letter] for letter in "HJKL") == [50, 51, 52, 53]
    last = of(made, "P")["params"]["letter"]
    assert new_ids[last] == 53


@pytest.mark.slow
def test_large_file_is_applied_in_time(empty_database: str, tmp_path: Path) -> None:
    languages = [f"{a}{b}" for a in "abcde" for b in "abcdefghij"]
    text = {"email_subj": "has been processed", "email_header": "<p>Thanks.</p>" * 5}
    texts = {code: {"description": "Processed"} | text for code in languages}
    in_stores = {str(store): dict.fromkeys(languages, text) for store in range(1, 21)}
    file = {
        "stores": [{"store_id": n, "name": f"Store {n}"} for n in range(1, 21)],
        "statuses": [
            {"type": type_, "status": letter, "texts": texts, "store_texts": in_stores}
            for type_ in "OG"
            for letter in "ABCDEFGHIJKLMOPQRSUVWXYZ0123456789"
        ],
    }
    path = tmp_path / "file"
    path.write_text(json.dumps(file))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORDER_STATUSES_LANGUAGES", ",".join(languages))
        assert start(empty_database, "init").wait() == 0
        process = start(empty_database, "apply", str(path))
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)

    assert process.returncode == 0
    assert usage.ru_utime + usage.ru_stime < 15
    assert usage.ru_maxrss < 300 * 1024


texts_ = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
one_line = texts_.filter(lambda text: text.splitlines() in ([], [text]))
names = st.from_regex(r"[A-Za-z0-9_.-]{1,64}", fullmatch=True)
bodies = st.fixed_dictionaries(
    {"description": one_line.filter(str.strip)},
    optional={
        "email_subj": one_line,
        "email_header": texts_,
        "is_default": st.sampled_from("YN"),
        "params": st.dictionaries(names, texts_ | st.booleans() | st.integers()),
        "lang_code": st.sampled_from(["en", "ru"]),
        "type": st.sampled_from("OG"),
    },
)
store_texts = st.dictionaries(
    st.sampled_from(["email_subj", "email_header"]), one_line | st.none(), min_size=1
)
writes: st.SearchStrategy[tuple[str, str, Json]] = st.one_of(
    st.tuples(st.just("POST"), st.just("/statuses"), bodies),
    st.tuples(st.just("PUT"), st.sampled_from(["/statuses/2", "/statuses/3"]), bodies),
    st.tuples(
        st.just("PUT"), st.just("/stores/2/statuses/2?lang_code=ru"), store_texts
    ),
    st.tuples(
        st.just("DELETE"), st.sampled_from(["/statuses/3", "/statuses/12"]), st.just({})
    ),
)


def test_whatever_the_api_makes_survives_a_move(
    client: FlaskClient, app: Flask, tmp_path: Path
) -> None:
    databases = SqliteDatabases(tmp_path)

    @settings(
        max_examples=8,
        derandomize=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(writes, min_size=1, max_size=8))
    def check(requests: list[tuple[str, str, Json]]) -> None:
        for method, address, body in requests:
            client.open(f"/api/2.0{address}", method=method, json=body)
        text = export(app)

        assert init(databases.create(), text, tmp_path / "file") == text
        assert apply(app, text, "--prune").stdout.startswith("unchanged: ")

    check()
