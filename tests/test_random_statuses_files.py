"""A file takes whatever the API makes, and no file breaks anything."""

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Table

from order_statuses.models import Base, Key, User
from order_statuses.reading import OrderStatus, list_statuses

from .commands import Json, apply, change, change_tag, export, run
from .conftest import (
    DATABASES,
    PostgresDatabases,
    SqliteDatabases,
    examples_of,
    restore,
    service,
)

Rows = dict[Table, list[dict[str, Any]]]

EMPTY: Rows = {table: [] for table in Base.metadata.sorted_tables}
USERS = {User.__tablename__, Key.__tablename__}

characters = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
texts = st.text(characters) | st.sampled_from(
    ["", " x ", "\u2028", "é" * 255, "<>&\"'"]
)
lines = texts.filter(lambda text: len(text.splitlines()) < 2)
ids = st.integers(1, 14)
languages = st.sampled_from(["en", "ru"])
params = st.dictionaries(
    st.from_regex(r"[A-Za-z0-9_.-]{1,64}", fullmatch=True)
    | st.sampled_from(["__proto__", "key", "value", "_schema", "texts", "x" * 64, "."]),
    texts | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.none(),
    max_size=5,
) | st.sampled_from([{}, {"color": "#97cf4d"}, {f"p{n}": "" for n in range(64)}])
email = {"email_subj": lines, "email_header": texts | st.just("ß" * 65535)}
fields = email | {
    "description": texts,
    "is_default": st.sampled_from("YN"),
    "position": st.sampled_from([0, 7, "7", "999999", 10**6]),
    "params": params,
    "lang_code": languages,
}
new_statuses = st.fixed_dictionaries(
    fields | {"description": texts.filter(str.strip)},
    optional={"type": st.sampled_from("OG")},
)
changes = st.fixed_dictionaries({}, optional=fields)
in_stores = st.fixed_dictionaries(
    {"lang_code": languages},
    optional={name: text | st.none() for name, text in email.items()},
)
requests: st.SearchStrategy[tuple[str, str, Json]] = st.one_of(
    st.tuples(st.just("POST"), st.just("/statuses"), new_statuses),
    st.tuples(st.just("PUT"), ids.map("/statuses/{}".format), changes),
    st.tuples(
        st.just("PUT"),
        st.tuples(st.integers(1, 3), ids).map(
            lambda both: "/stores/{}/statuses/{}".format(*both)
        ),
        in_stores,
    ),
    st.tuples(st.just("DELETE"), ids.map("/statuses/{}".format), st.just({})),
)


@pytest.fixture(
    params=[
        pytest.param((2, False), id="few"),
        pytest.param((12, True), id="many", marks=pytest.mark.slow),
    ]
)
def examples(request: pytest.FixtureRequest) -> settings:
    number, anew = request.param
    return examples_of(number, anew=anew)


@pytest.fixture(scope="module", params=DATABASES)
def other(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Flask]:
    """The service on another database, of the same kind or of the other."""
    databases = (
        SqliteDatabases(tmp_path_factory.mktemp("other"))
        if request.param == "sqlite"
        else PostgresDatabases(request.getfixturevalue("postgres"))
    )
    with service(databases.create()) as app:
        run(app, "init")
        yield app


def test_whatever_the_api_makes_survives_a_move(
    app: Flask,
    client: FlaskClient,
    other: Flask,
    rows: Rows,
    tmp_path: Path,
    examples: settings,
) -> None:
    file = tmp_path / "file"

    @examples
    @given(st.lists(requests, min_size=1, max_size=10), texts)
    def check(sent: list[tuple[str, str, Json]], name: str) -> None:
        restore(app, rows)
        run(app, "add-store", "--", "3", name)
        for method, address, body in sent:
            client.open(f"/api/2.0{address}", method=method, json=body)
        text = export(app)
        file.write_text(text, encoding="utf-8")

        # Into empty tables.
        restore(other, EMPTY)
        assert run(other, "init", str(file)).exit_code == 0
        assert export(other) == text
        assert shown_by(other) == shown_by(app)
        assert_is_applied(other, text)

        # Over the default statuses.
        restore(other, rows)
        assert apply(other, text, "--prune").exit_code == 0
        made = statuses_of(export(other))
        assert statuses_of(text).items() <= made.items()
        assert_is_applied(other, text)

    check()


def shown_by(app: Flask) -> list[list[OrderStatus]]:
    """Return the statuses as each language and store sees them."""
    views = product("OG", ["en", "ru"], [None, 1, 2, 3])
    with app.app_context():
        return [list_statuses(*view) for view in views]


def assert_is_applied(app: Flask, text: str) -> None:
    """Apply again what is there already: nothing may be written."""
    before = change_tag(app)
    again = apply(app, text, "--prune")
    assert again.exit_code == 0
    assert {line.split()[0] for line in again.stdout.splitlines()} <= {
        "kept",
        "unchanged:",
        "applied",
    }
    assert change_tag(app) == before


def statuses_of(text: str) -> dict[tuple[str, str], Json]:
    """Return the statuses in a file without their ids, which differ."""
    statuses = json.loads(text)["statuses"]
    return {(s["type"], s["status"]): s | {"status_id": 0} for s in statuses}


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(0, 12)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(
        ["P", "O", "en", "de", "Y", " ", "a\nb", "x" * 256, "\0", "\ud800"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=4,
)


def places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Yield all that a mutation may change: each list and object, with each key."""
    if isinstance(node, dict | list):
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            yield node, key
            yield from places(node[key])


@st.composite
def mutations(draw: st.DrawFn, text: str) -> bytes:
    """Make a file that is wrong in one or a few places, or not any more JSON."""
    file = json.loads(text)
    for _ in range(draw(st.integers(0, 3))):
        if not file:
            break
        node, key = draw(st.sampled_from(list(places(file))))
        how = draw(st.sampled_from(["drop", "replace", "again", "rename", "swap"]))
        if how == "drop":
            del node[key]
        elif how == "replace":
            node[key] = draw(values)
        elif how == "swap":
            other, at = draw(st.sampled_from(list(places(file))))
            node[key] = json.loads(json.dumps(other[at]))
        elif isinstance(node, list):
            node.append(json.loads(json.dumps(node[key])))
        else:
            name = draw(
                st.sampled_from(["", "x", "de", "en", "7", "key", "a b"]) | st.text()
            )
            node[name] = node.pop(key) if how == "rename" else node[key]
    content = json.dumps(file).encode()
    start = draw(st.integers(0, len(content)))
    end = start + draw(st.integers(0, 9))
    return draw(
        st.sampled_from(
            [
                content,
                content,
                content[:start],
                content[:start] + content[end:],
                content[:start] + draw(st.binary(max_size=4)) + content[start:],
                content[:start] + content[start:end] * 2 + content[end:],
                content.replace(b'"status":', b'"status": "A", "status":'),
                b"\xef\xbb\xbf" + content,
                text.encode("utf-16"),
            ]
        )
    )


options = st.lists(st.sampled_from(["--prune", "--dry-run", "--users"]), unique=True)


def test_whatever_a_file_holds_is_applied_or_changes_nothing(
    app: Flask, client: FlaskClient, rows: Rows, tmp_path: Path, examples: settings
) -> None:
    change(client)
    file = tmp_path / "file"
    run(app, "export", str(file), "--users")
    without_users = {t: [] if t.name in USERS else rows[t] for t in rows}
    restore(app, without_users)
    began = (change_tag(app), export(app), run(app, "users").stdout)

    @settings(examples, max_examples=examples.max_examples * 10)
    @given(mutations(file.read_text(encoding="utf-8")), options)
    def check(content: bytes, chosen: list[str]) -> None:
        nonlocal began
        applied = apply(app, content, *chosen)

        assert isinstance(applied.exception, SystemExit | None), content
        assert applied.exit_code in {0, 1, 4}
        now = (change_tag(app), export(app), run(app, "users").stdout)
        if applied.exit_code == 1:
            assert applied.stderr.startswith("Error: Nothing was changed. ")
            assert len(applied.stderr.splitlines()[0]) > 40
        if applied.exit_code != 0 or "--dry-run" in chosen:
            assert now == began
        elif now != began:
            assert "\nunchanged: " in applied.stdout
            restore(app, without_users)
            began = (change_tag(app), *began[1:])

    check()


def test_init_takes_a_file_or_leaves_the_tables_empty(
    other: Flask, app: Flask, client: FlaskClient, tmp_path: Path, examples: settings
) -> None:
    change(client)
    file = tmp_path / "file"

    @settings(examples, max_examples=examples.max_examples * 2)
    @given(mutations(export(app)))
    def check(content: bytes) -> None:
        restore(other, EMPTY)
        file.write_bytes(content)
        done = run(other, "init", str(file))

        assert isinstance(done.exception, SystemExit | None), content
        assert (done.exit_code, change_tag(other) is None) in {(0, False), (1, True)}
        if done.exit_code == 1:
            assert done.stderr.startswith("Error: Nothing was changed. ")
            assert json.loads(export(other)) == {"stores": [], "statuses": []}

    check()
