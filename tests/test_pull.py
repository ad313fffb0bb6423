"""The command pull: the statuses of a live shop, as a file."""

import copy
import json
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.wrappers import Response

from order_statuses import pull as module
from order_statuses.app import create_app
from order_statuses.config import PULL_KEY, SettingError

from . import docs
from .commands import Json, export, run
from .conftest import ADMINISTRATOR, BOUND, SqliteDatabases, basic, client_of, service
from .conftest import KEY as OUR_KEY
from .conftest import fill as fill_ours
from .contract import NEVER_OPENED
from .old_shop import KEY, USER, OldShop, as_json, listening, status, texts
from .servers import call, clone, free_port, gunicorn

EN_DE = {"ORDER_STATUSES_LANGUAGES": "en,de"}
THREE = {"ORDER_STATUSES_LANGUAGES": "en,ru,de"}

one_version = pytest.mark.parametrize("shop", ["4.15"], indirect=True)


@pytest.fixture(params=["4.3", "4.15"])
def shop(request: pytest.FixtureRequest) -> OldShop:
    """A live shop of each version, with order statuses and a gift certificate's."""
    shop = OldShop(request.param)
    fill(shop)
    return shop


def fill(shop: OldShop) -> None:
    own = {"notify": "Y", "color": "#97CF4D", "an.addon": "1"}
    in_store = {2: {"en": {"email_subj": "from the outlet"}}}
    shop.statuses = [
        status(1, "P", is_default="Y", params=own, stores=in_store),
        status(2, "C", texts={"en": texts("Done", None, "<b>"), "de": texts("Fertig")}),
        *(status(n, letter) for n, letter in enumerate("ABDEFGHIJKLM", 3)),
        status(20, "A", "G"),
    ]


@pytest.fixture
def url(shop: OldShop) -> Iterator[str]:
    """The address of the shop's API."""
    with listening(shop) as url:
        yield f"{url}/api"


@pytest.fixture(scope="module")
def here() -> Flask:
    """Where the command runs: it opens no database."""
    return create_app({**NEVER_OPENED, **EN_DE})


def pull(app: Flask, url: str, *options: str, user: str = USER, key: str = KEY) -> Any:
    return run(app, "pull", url, "--user", user, *options, env={PULL_KEY: key})


def statuses_in(pulled: Any) -> dict[str, Json]:
    """Return the statuses of a file by type and letter."""
    file = json.loads(pulled.stdout)
    return {f"{row['type']} {row['status']}": row for row in file["statuses"]}


def pull_without(here: Flask, url: str, place: str) -> dict[str, Json]:
    """Pull, check that what is at *place* alone was left out, and return the rest."""
    pulled = pull(here, url)

    (line,) = pulled.stderr.splitlines()
    assert line.startswith(f"Left out: {place}: ")
    assert pulled.exit_code == 1
    return statuses_in(pulled)


def in_file(own: Json) -> Json:
    """Return what a file is to have of a status of the shop."""
    names = ("status_id", "status", "type", "is_default", "position", "params")
    found: Json = {name: own[name] for name in names}
    found["texts"] = {
        code: {name: text for name, text in inner.items() if text is not None}
        for code, inner in sorted(own["texts"].items())
    }
    if own["stores"]:
        found["store_texts"] = {str(n): inner for n, inner in own["stores"].items()}
    return found


def expected(shop: OldShop) -> dict[str, Json]:
    """Return what *statuses_in* is to find, whatever changes in the shop later."""
    rows = {f"{own['type']} {own['status']}": in_file(own) for own in shop.statuses}
    return copy.deepcopy(rows)


def test_shop_is_pulled(here: Flask, shop: OldShop, url: str) -> None:
    pulled = pull(here, url)

    assert (pulled.exit_code, pulled.stderr) == (0, "")
    statuses = [in_file(own) for own in shop.statuses]
    statuses.sort(key=lambda own: (own["type"], own["status"]))
    stores = [{"store_id": n, "name": name} for n, name in shop.stores_by_id().items()]
    file = {"stores": stores, "statuses": statuses}
    assert pulled.stdout == json.dumps(file, ensure_ascii=False, indent=2) + "\n"
    assert {request.method for request in shop.requests} == {"GET"}


@pytest.mark.parametrize(
    "how",
    [
        {"is_plain": True},
        {"largest_page": 5, "counts_slice": True},
        {"largest_page": 14, "counts_slice": True},
        {"largest_page": 5, "counts_slice": False},
        {"largest_page": 14, "counts_slice": False},
        # The next page is missed by the number of all alone.
        {"largest_page": 5, "counts_slice": False, "names_page": False},
    ],
    ids=str,
)
def test_list_is_pulled_whole_however_the_shop_shows_it(
    here: Flask, shop: OldShop, url: str, how: Json
) -> None:
    vars(shop).update(how)

    assert statuses_in(pull(here, url)) == expected(shop)


@one_version
def test_list_that_is_not_shown_whole_is_named(
    here: Flask, shop: OldShop, url: str
) -> None:
    shop.largest_page, shop.counts_slice, shop.knows_pages = 14, False, False
    shop.statuses.append(status(21, "Q"))

    pulled = pull(here, url, "--languages=en")

    assert pulled.exit_code == 1
    assert pulled.stderr.splitlines() == [
        f"Left out: {path}statuses?type=O&lang_code=en: Not all of it is shown."
        for path in ("", "stores/1/", "stores/2/")
    ]
    assert len(statuses_in(pulled)) == len(shop.statuses) - 1


@pytest.mark.parametrize("languages", ["en,de", "de,en"])
def test_status_without_texts_in_a_language_keeps_the_others(
    here: Flask, shop: OldShop, url: str, languages: str
) -> None:
    for own in shop.statuses[1:4]:
        del own["texts"]["de"]
    shop.statuses[4]["texts"].pop("en")

    pulled = pull(here, url, "--languages", languages)

    assert (pulled.exit_code, pulled.stderr) == (0, "")
    assert statuses_in(pulled) == expected(shop)


def test_status_without_any_text_is_named(here: Flask, shop: OldShop, url: str) -> None:
    shop.statuses[3]["texts"] = {}

    pulled = pull(here, url)

    name = "B" if shop.shows_position else "4"
    reason = "A new status has no description."
    assert pulled.stderr == f"Left out: O {name}.texts: {reason}\n"
    assert pulled.exit_code == 1
    assert statuses_in(pulled).keys() == {
        f"{own['type']} {own['status']}" for own in shop.statuses if own["texts"]
    }


def test_unknown_language_is_no_translation(
    here: Flask, shop: OldShop, url: str
) -> None:
    pulled = pull(here, url, "--languages", "en,fr")

    assert pulled.exit_code == 0
    assert pulled.stderr.count("\n") == 1
    assert "no texts in fr" in pulled.stderr
    assert "ORDER_STATUSES_LANGUAGES" in pulled.stderr
    assert statuses_in(pulled)["O P"]["texts"].keys() == {"en"}


def test_nothing_is_printed_without_any_of_the_languages(
    here: Flask, shop: OldShop, url: str
) -> None:
    failed = pull(here, url, "--languages", "fr,es")

    assert (failed.exit_code, failed.stdout) == (1, "")
    assert failed.stderr.count("\n") == 1
    assert "no texts in fr, es" in failed.stderr
    assert "ORDER_STATUSES_LANGUAGES" in failed.stderr


@one_version
def test_types_may_be_chosen(here: Flask, shop: OldShop, url: str) -> None:
    assert statuses_in(pull(here, url, "--types", "G")).keys() == {"G A"}
    assert statuses_in(pull(here, url, "--types", "X")) == {}


@one_version
@pytest.mark.parametrize("option", ["--languages=EN", "--types=o", "--types="])
def test_invalid_code_is_wrong_usage(here: Flask, url: str, option: str) -> None:
    refused = pull(here, url, option)

    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "distinct" in refused.stderr


def test_order_of_the_shop_becomes_positions(
    here: Flask, shop: OldShop, url: str
) -> None:
    shop.shows_position = False
    for name in ("texts", "status_id"):  # with a row that is known by its letter alone
        first, second = shop.statuses[:2]
        first[name], second[name] = second[name], first[name]
    del shop.statuses[0]["texts"]["en"]

    found = statuses_in(pull(here, url))

    positions = {own["position"]: name for name, own in found.items() if name != "G A"}
    names = [f"O {own['status']}" for own in shop.statuses[:-1]]
    assert positions == {10 * n: name for n, name in enumerate(names, 1)}
    assert found["G A"]["position"] == 0


def test_position_is_taken_where_the_shop_shows_it(
    here: Flask, shop: OldShop, url: str
) -> None:
    shop.shows_position = True
    for own, position in zip(
        shop.statuses, (30, "20", None, "", 1_000_000), strict=False
    ):
        own["position"] = position

    pulled = pull(here, url)

    found = statuses_in(pulled)
    taken = [found[f"O {letter}"]["position"] for letter in "PCABD"]
    assert taken == [30, 20, 0, 0, 0]
    assert pulled.exit_code == 1
    (line,) = pulled.stderr.splitlines()
    assert line.startswith("Left out: O D.position: ")


@one_version
@pytest.mark.parametrize("stores", [403, 404, {}])
def test_shop_without_storefronts_has_one(
    here: Flask, shop: OldShop, url: str, stores: Any
) -> None:
    shop.stores = stores

    pulled = pull(here, url)

    assert pulled.exit_code == 0
    assert pulled.stderr.count("\n") == 1
    assert "storefront" in pulled.stderr
    file = json.loads(pulled.stdout)
    assert file["stores"] == [{"store_id": 1, "name": "Main store"}]
    assert len(file["statuses"]) == len(shop.statuses)


@one_version
def test_texts_of_a_storefront_that_are_not_shown_are_named(
    here: Flask, shop: OldShop, url: str
) -> None:
    shop.refused["stores/2/statuses"] = as_json([], 404)

    pulled = pull(here, url, "--languages=en", "--types=O")

    assert pulled.exit_code == 1
    assert pulled.stderr.startswith("Left out: stores/2/statuses?type=O&lang_code=en: ")
    assert "store_texts" not in statuses_in(pulled)["O P"]


@one_version
@pytest.mark.parametrize(
    ("root", "path", "asked", "elsewhere"),
    [
        ("/api.php", "/api.php", "", 404),
        ("/api.php", "/api.php/", "", 404),
        ("/api.php", "/api", "", 404),
        ("/api.php", "/api", "", 200),
        ("/api.php", "/api/2.0/", "2.0/", 404),
        ("/a/shop/api.php", "/a/shop/api/2.0", "2.0/", 200),
    ],
)
def test_address_without_rewriting_is_found(
    here: Flask,
    shop: OldShop,
    url: str,
    root: str,
    path: str,
    asked: str,
    elsewhere: int,
) -> None:
    shop.root, shop.elsewhere = root, elsewhere

    pulled = pull(here, url.removesuffix("/api") + path)

    assert (pulled.exit_code, statuses_in(pulled)) == (0, expected(shop))
    last = shop.requests[-1]
    assert (last.path, last.args["_d"]) == (root, f"{asked}stores/2/statuses")


def set_param(name: str, value: Any) -> Callable[[OldShop], None]:
    return lambda shop: shop.statuses[0]["params"].update({name: value})


def set_text(name: str, value: Any) -> Callable[[OldShop], None]:
    return lambda shop: shop.statuses[0]["texts"]["de"].update({name: value})


@one_version
@pytest.mark.parametrize(
    ("change", "place"),
    [
        (set_param("color", "red"), "O P.params.color"),
        (set_param("a b", "1"), "O P.params.a b"),
        (set_param("a", {"b": "1"}), "O P.params.a"),
        (set_param("a", "1\ud800"), "O P.params"),
        (set_param("a", "x" * 256), "O P.params.a"),
        (set_text("description", "x" * 256), "O P.texts.de.description"),
        (set_text("description", " "), "O P.texts.de.description"),
        (set_text("email_subj", "two\nlines"), "O P.texts.de.email_subj"),
        (set_text("email_header", "x" * 65_536), "O P.texts.de.email_header"),
        (set_text("email_header", "\0"), "O P.texts.de.email_header"),
        (set_text("email_header", ["x"]), "O P.texts.de.email_header"),
    ],
)
def test_param_or_text_that_cannot_be_taken_is_left_out(
    here: Flask, shop: OldShop, url: str, change: Callable[[OldShop], None], place: str
) -> None:
    shop.statuses[0]["params"].pop("color")
    before = expected(shop)
    change(shop)

    after = pull_without(here, url, place)

    if ".texts." in place:
        del before["O P"]["texts"]["de"][place.rpartition(".")[2]]
    assert after == before


@one_version
def test_text_of_a_storefront_that_cannot_be_taken_is_left_out(
    here: Flask, shop: OldShop, url: str
) -> None:
    own = {"description": "x", "email_subj": "two\nlines", "email_header": "<i>"}
    shop.statuses[0]["stores"] = {2: {"de": own}, 1: {"de": {"email_subj": "x"}}}

    pulled = pull(here, url)

    place = "Left out: O P.store_texts.2.de"
    first, second = pulled.stderr.splitlines()
    assert first.startswith(f"{place}.description: ")
    assert second.startswith(f"{place}.email_subj: ")
    found = statuses_in(pulled)["O P"]["store_texts"]
    assert found == {
        "1": {"de": {"email_subj": "x"}},
        "2": {"de": {"email_header": "<i>"}},
    }
    assert [*found] == ["1", "2"]


def change_status(**values: Any) -> Callable[[OldShop], None]:
    return lambda shop: shop.statuses[3].update(values)


@one_version
@pytest.mark.parametrize(
    ("change", "place"),
    [
        (change_status(status="N"), "O N.status"),
        (change_status(status="T"), "O T.status"),
        (change_status(status="P"), "O P"),
        (change_status(status_id="x"), "O B.status_id"),
        (change_status(params={f"p{n}": "1" for n in range(65)}), "O B.params"),
    ],
)
def test_status_that_cannot_be_taken_is_left_out(
    here: Flask, shop: OldShop, url: str, change: Callable[[OldShop], None], place: str
) -> None:
    before = expected(shop)
    change(shop)

    after = pull_without(here, url, place)

    del before["O B"]
    assert after == before


@one_version
def test_storefront_that_cannot_be_taken_is_left_out(
    here: Flask, shop: OldShop, url: str
) -> None:
    shop.stores = {1: "Main store", 2: " "}

    pulled = pull(here, url)

    (line,) = pulled.stderr.splitlines()
    assert line.startswith("Left out: store 2.name: ")
    assert "store_texts" not in statuses_in(pulled)["O P"]


@one_version
def test_words_of_the_shop_do_not_steer_the_terminal(
    here: Flask, shop: OldShop, url: str
) -> None:
    shop.statuses[0]["params"]["\x1b[2J\n\ud800"] = "1"

    pulled = pull(here, url)

    assert pulled.stderr.startswith("Left out: O P.params")
    assert pulled.stderr.rstrip("\n").isprintable()


@one_version
def test_numbers_keep_their_digits(here: Flask, shop: OldShop, url: str) -> None:
    row = '"status_id": 1, "status": "P", "lang_code": "en", "description": "Paid"'
    rows = f'[{{{row}, "params": {{"rate": 1.10}}}}]'
    shop.refused["statuses"] = Response(rows, content_type="application/json")

    found = statuses_in(pull(here, url, "--languages=en", "--types=O"))

    assert found["O P"]["params"] == {"rate": "1.10"}


MOVED = Response(status=301, headers={"Location": "https://b/"})


@one_version
@pytest.mark.parametrize(
    ("change", "key", "line"),
    [
        ({}, "wrong", "{url} responds with 401: the e-mail or the key is wrong."),
        (
            {"refused": {"statuses": as_json([], 403)}},
            KEY,
            "The user has no right to read the statuses (403).",
        ),
        ({"refused": {"statuses": as_json([], 500)}}, KEY, "{url} responds with 500."),
        (
            {"refused": {"statuses": MOVED}},
            KEY,
            "{url} responds with 301: it redirects to 'https://b/'; "
            "give the new address.",
        ),
        (
            {"bound_to": 2},
            KEY,
            "The key is bound to one storefront; use one for all.",
        ),
        ({"root": "/elsewhere"}, KEY, "No API at {url}; its address ends in /api."),
    ],
)
def test_failure_is_one_line(
    here: Flask,
    shop: OldShop,
    url: str,
    tmp_path: Path,
    change: Json,
    key: str,
    line: str,
) -> None:
    vars(shop).update(change)
    file = tmp_path / "shop.json"
    file.write_text("old")

    printed = pull(here, url, key=key)
    written = pull(here, url, "--output", str(file), key=key)

    assert (printed.exit_code, printed.stdout) == (1, "")
    assert printed.stderr == f"Error: {line.format(url=url)}\n"
    assert written.exit_code == 1
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


@one_version
@pytest.mark.parametrize(
    "body", ["{", "<html>", "[1]", '{"statuses": "x"}', "null", "[" * 99_999]
)
def test_no_list_is_no_api(here: Flask, shop: OldShop, url: str, body: str) -> None:
    shop.refused["statuses"] = Response(body, content_type="application/json")

    failed = pull(here, url)

    assert (failed.exit_code, failed.stdout) == (1, "")
    assert failed.stderr == f"Error: No API at {url}; its address ends in /api.\n"


@one_version
def test_key_does_not_follow_a_redirect(here: Flask, shop: OldShop, url: str) -> None:
    other = OldShop("4.15")
    with listening(other) as target:
        location = {"Location": f"{target}/api/statuses"}
        shop.refused["statuses"] = Response(status=307, headers=location)
        failed = pull(here, url)

    assert target in failed.stderr
    assert other.requests == []


def test_shop_that_does_not_respond_is_given_up(
    here: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert module.SECONDS == 30
    monkeypatch.setattr(module, "SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/api"
        failed = pull(here, url)

    assert (failed.exit_code, failed.stdout) == (1, "")
    assert failed.stderr.startswith(f"Error: No response from {url}: ")
    assert "timed out" in failed.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_shop_that_cannot_be_reached_is_named(here: Flask, host: str) -> None:
    url = f"http://{host}:{free_port()}/api"

    failed = pull(here, url)

    assert (failed.exit_code, failed.stdout) == (1, "")
    assert failed.stderr.startswith(f"Error: No response from {url}: ")
    assert failed.stderr.count("\n") == 1


@one_version
@pytest.mark.parametrize("scheme", ["http", "HTTP"])
def test_key_is_not_shown_to_the_network_unless_told_so(
    here: Flask, shop: OldShop, url: str, scheme: str
) -> None:
    # Linux takes this for its own address; it might be any.
    other = url.replace("http://127.0.0.1", f"{scheme}://0.0.0.0")

    refused = pull(here, other)
    seen = [*shop.requests]
    allowed = pull(here, other, "--insecure")

    assert (refused.exit_code, refused.stdout, seen) == (1, "", [])
    assert "--insecure" in refused.stderr
    assert allowed.exit_code == 0


@pytest.mark.parametrize(
    "url",
    [
        "old-shop.example/api",
        "ftp://old-shop.example/api",
        "https://",
        "https://admin:key@old-shop.example/api",
        "https://old-shop.example/api?_d=statuses",
        "https://old-shop.example/api#x",
        "http://127.0.0.1@old-shop.example/api",
        "http://127.0.0.1.old-shop.example/api",
        "http://localhost.old-shop.example/api",
        "http:///127.0.0.1/api",
        "http://127.0.0.1\\@old-shop.example/api",
        "https://old-shop.example:99999/api",
    ],
)
def test_url_that_is_not_plain_is_refused(here: Flask, url: str) -> None:
    refused = pull(here, url)

    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.startswith("Error: ")


@one_version
def test_key_is_asked_for_and_not_shown(here: Flask, shop: OldShop, url: str) -> None:
    alone = {PULL_KEY: None}
    asked = run(here, "pull", url, "--user", USER, env=alone, input=f"{KEY}\n")

    assert asked.exit_code == 0
    assert statuses_in(asked) == expected(shop)
    assert PULL_KEY in asked.stderr
    assert KEY not in asked.output


def test_key_is_no_setting_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PULL_KEY, KEY)

    app = create_app(NEVER_OPENED)

    assert KEY not in map(str, app.config.values())
    assert PULL_KEY not in app.config
    with pytest.raises(SettingError, match="is read from the environment alone"):
        create_app({**NEVER_OPENED, PULL_KEY: KEY})
    monkeypatch.setenv("ORDER_STATUSES_PULLKEY", KEY)
    with pytest.raises(SettingError, match=f"is {PULL_KEY} meant"):
        create_app(NEVER_OPENED)


@one_version
def test_missing_package_is_named(
    here: Flask, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setitem(sys.modules, "urllib3", None)
    monkeypatch.delitem(sys.modules, "order_statuses.pull")

    failed = pull(here, url)

    assert failed.exit_code == 1
    assert failed.stderr.startswith("Error: pull needs urllib3")


@one_version
def test_file_is_written(here: Flask, url: str, tmp_path: Path) -> None:
    file = tmp_path / "shop.json"
    file.write_text("old")

    pulled = pull(here, url, "--output", str(file))

    assert (pulled.exit_code, pulled.output) == (0, "")
    assert file.read_text() == pull(here, url).stdout
    assert [*tmp_path.iterdir()] == [file]


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """An instance of ours, with three languages, three storefronts, 16 statuses."""
    url = SqliteDatabases(tmp_path_factory.mktemp("origin")).create()
    fill_ours(url)
    with service(url, **THREE) as app:
        run(app, "add-store", "3", "Third store")
        client = client_of(app, ADMINISTRATOR)
        for n in range(6):
            own = {"description": f"New {n}", "params": {"n": str(n), "empty": ""}}
            client.post("/api/2.0/statuses", json=own)
        client.delete("/api/2.0/statuses/13")
        for store_id in (1, 2, 3):
            address = f"/api/2.0/stores/{store_id}/statuses/{store_id}"
            client.put(address, json={"email_subj": f"in {store_id}"})
            client.put(f"{address}?lang_code=ru", json={"email_header": ""})
        yield app


@pytest.fixture(scope="module")
def pulled_copy(
    here: Flask, origin: Flask, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Flask]:
    """An instance with the file that was pulled from *origin*."""
    folder = tmp_path_factory.mktemp("copy")
    with listening(origin) as url:
        pulled = pull_ours(here, f"{url}/api/2.0")
    assert (pulled.exit_code, pulled.stderr) == (0, "")
    (folder / "file").write_text(pulled.stdout, encoding="utf-8")
    with service(SqliteDatabases(folder).create(), **THREE) as app:
        assert run(app, "init", str(folder / "file")).exit_code == 0
        yield app


def pull_ours(app: Flask, url: str, key: str = OUR_KEY + ADMINISTRATOR) -> Any:
    return pull(app, url, "--languages=en,ru,de", user=ADMINISTRATOR, key=key)


def bodies_of(app: Flask, key: str) -> dict[str, str]:
    """Return what each GET for statuses and stores returns."""
    client = FlaskClient(app, app.response_class)
    client.environ_base["HTTP_AUTHORIZATION"] = basic(ADMINISTRATOR, key)
    queries = [f"lang_code={c}&type={t}" for c in ("en", "ru", "de") for t in "OG"]
    paths = ["stores", *(f"statuses?{query}" for query in queries)]
    for n in range(1, 4):
        paths += [f"stores/{n}", *(f"stores/{n}/statuses?{query}" for query in queries)]
    for n in range(1, 18):
        for code in ("en", "ru", "de"):
            paths += [f"{x}statuses/{n}?lang_code={code}" for x in ("", "stores/2/")]
    return {path: client.get(f"/api/2.0/{path}").text for path in paths}


def test_pulled_instance_of_ours_responds_alike(
    origin: Flask, pulled_copy: Flask
) -> None:
    key = run(pulled_copy, "add-user", ADMINISTRATOR).stdout.strip()

    assert bodies_of(pulled_copy, key) == bodies_of(origin, OUR_KEY + ADMINISTRATOR)


@pytest.mark.parametrize("path", ["/api", "/api/2.0", "/api.php"])
def test_complete_instance_of_ours_is_pulled_byte_for_byte(
    here: Flask, pulled_copy: Flask, path: str
) -> None:
    key = run(pulled_copy, "add-user", ADMINISTRATOR).stdout.strip()

    with listening(pulled_copy) as url:
        pulled = pull_ours(here, url + path, key)

    assert (pulled.exit_code, pulled.stderr) == (0, "")
    assert len(statuses_in(pulled)) == 16
    assert pulled.stdout == export(pulled_copy)


def test_key_of_ours_that_is_bound_is_refused(here: Flask, origin: Flask) -> None:
    with listening(origin) as url:
        failed = pull(here, f"{url}/api", user=BOUND, key=OUR_KEY + BOUND)

    assert (failed.exit_code, failed.stdout) == (1, "")
    assert "bound to one storefront" in failed.stderr


@pytest.mark.slow
def test_shop_moves_in_as_the_readme_says(tmp_path: Path) -> None:
    shop = OldShop("4.15")
    fill(shop)
    shop.statuses[0]["position"] = 90
    folder = tmp_path / "checkout"
    clone(folder)
    script, *_ = docs.code(docs.section("Move in from CS-Cart", docs.README))
    flask = f"{sys.executable} -m flask"
    with listening(shop) as url:
        for theirs, ours in {
            "https://old-shop.example": url,
            "admin@old-shop.example": USER,
            ".venv/bin/flask": flask,
        }.items():
            assert theirs in script
            script = script.replace(theirs, ours)
        call(["sh", "-ec", script], folder, ORDER_STATUSES_PULL_KEY=KEY)

    database = f"sqlite:///{folder}/instance/shop.db"
    settings = EN_DE | {"DATABASE_URL": database}
    added = call(
        [*flask.split(), "order-statuses", "add-user", USER], folder, **settings
    )
    headers = {"Authorization": basic(USER, added.strip())}
    with gunicorn(database, 1, **EN_DE, ORDER_STATUSES_POSITION="yes") as service_url:

        def get(path: str) -> Any:
            response = httpx.get(f"{service_url}/api/2.0/{path}", headers=headers)
            assert response.status_code == 200
            return response.json()

        stores = get("stores")
        rows = {
            (type, code, store_id): get(
                f"{f'stores/{store_id}/' if store_id else ''}statuses"
                f"?type={type}&lang_code={code}"
            )
            for type in "OG"
            for code in ("en", "de")
            for store_id in (None, 1, 2)
        }

    assert stores == [
        {"company_id": str(n), "company": name}
        for n, name in shop.stores_by_id().items()
    ]
    assert rows["O", "en", None][-1]["position"] == "90"
    for (type, code, store_id), found in rows.items():
        there = [own for own in shop.statuses if own["type"] == type]
        there.sort(key=lambda own: (own["position"], own["status_id"]))
        assert found == [as_ours(shop.row(own, code, store_id)) for own in there]


def as_ours(row: Json) -> Json:
    """Return what we show of a status of CS-Cart."""
    texts = {name: text or "" for name, text in row.items()}
    numbers = {name: str(row[name]) for name in ("status_id", "position")}
    return texts | numbers | {"params": row["params"] or {}}


@pytest.mark.slow
def test_certificate_must_be_trusted(
    here: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = OldShop("4.15")
    fill(shop)
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    options = "req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1"
    command = ["openssl", *options.split(), "-subj", "/CN=old-shop.example"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    call([*command, "-keyout", str(key), "-out", str(certificate)], tmp_path)
    with listening(shop, ssl_context=(str(certificate), str(key))) as url:
        failed = pull(here, f"{url}/api", "--insecure")
        seen = [*shop.requests]
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        pulled = pull(here, f"{url}/api")

    assert (failed.exit_code, failed.stdout, seen) == (1, "", [])
    assert failed.stderr.count("\n") == 1
    assert "certificate" in failed.stderr
    assert pulled.exit_code == 0
