"""Whatever is sent, the response is JSON, says what it is, and is never a 5xx."""

import json
from importlib.metadata import version
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packaging.version import Version
from werkzeug.test import TestResponse

from .conftest import examples_of

FIELDS = (
    "type lang_code description email_subj email_header is_default position params "
    "status_id"
).split()
PARAMS = "color notify inventory appearance_type note __proto__".split()
TYPES = [
    "application/json",
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/xml",
]
HEADERS = (
    "ACCEPT AUTHORIZATION CONTENT_ENCODING FORWARDED HOST IF_MATCH IF_NONE_MATCH "
    "ORIGIN SEC_FETCH_SITE TRANSFER_ENCODING X_HTTP_METHOD_OVERRIDE"
).split()
# Before 3.1.8, Werkzeug itself refuses a Host that is no host name.
if Version(version("werkzeug")) < Version("3.1.8"):
    HEADERS.remove("HOST")

# What WSGI calls text: bytes, each as a character. Servers refuse control characters.
latin = st.binary(max_size=40).map(lambda raw: raw.decode("latin-1"))
header = st.text(
    st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"),
    max_size=40,
)
known = st.sampled_from(["en", "ru", "O", "G", "Y", "N", "1", "2", "12", "", "#0000ff"])
scalars = (
    known
    | st.text(max_size=300)
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=5,
)
params = st.dictionaries(st.sampled_from(PARAMS) | st.text(max_size=70), scalars)
fields = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(FIELDS, anything) | {"params": params | anything}
)
pairs = st.lists(
    st.tuples(
        st.sampled_from([*FIELDS, *(f"params[{name}]" for name in PARAMS)])
        | st.text(max_size=20),
        scalars.map(str),
    )
)
methods = st.sampled_from("GET HEAD POST PUT DELETE OPTIONS PATCH".split())
ids = st.sampled_from(["1", "2", "12", "9223372036854775808"]) | latin
addresses = st.one_of(
    st.just("/api/2.0/statuses"),
    ids.map("/api/2.0/statuses/{}".format),
    ids.map("/api/statuses/{}/".format),
    ids.map("/api/2.0/stores/{}".format),
    st.tuples(ids, ids).map(
        lambda both: "/api/2.0/stores/{}/statuses/{}".format(*both)
    ),
    latin.map("/api/2.0/{}".format),
    latin.map("/{}".format),
    st.just("/api.php"),
)
queries = latin | st.lists(
    st.tuples(
        st.sampled_from(
            [
                "page",
                "items_per_page",
                "type",
                "status",
                "params[color]",
                "lang_code",
                "_d",
            ]
        ),
        known | header,
    ),
    max_size=3,
).map(lambda items: "&".join("=".join(item) for item in items))


@pytest.fixture(
    params=[
        pytest.param((30, False), id="few", marks=pytest.mark.one_database),
        pytest.param((250, True), id="many", marks=pytest.mark.slow),
    ]
)
def tried(request: pytest.FixtureRequest) -> settings:
    """How many examples: few that are always the same, or many new ones."""
    number, anew = request.param
    expected = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return examples_of(number, anew=anew, suppress_health_check=expected)


def assert_good(response: TestResponse) -> None:
    assert response.status_code < 500
    if response.status_code in {302, 308}:  # of "/"; werkzeug's, for //
        return
    if response.status_code in {204, 304} or response.request.method == "HEAD":
        assert response.data == b""
        return
    assert response.mimetype == "application/json"
    body = json.loads(response.data)
    if response.status_code >= 400:
        assert body["status"] == response.status_code
        assert body["message"].strip(": ")
    else:
        assert "message" not in body


def open_raw(
    client: FlaskClient, method: str, path: str, environ: dict[str, Any], **body: Any
) -> TestResponse:
    """Send a request whose path no client library has tidied up."""
    overrides = {"PATH_INFO": path, "RAW_URI": path, **environ}
    return client.open("/", method=method, environ_overrides=overrides, **body)


def test_any_address(client: FlaskClient, tried: settings) -> None:
    @tried
    @given(methods, addresses, queries)
    def check(method: str, address: str, query: str) -> None:
        assert_good(open_raw(client, method, address, {"QUERY_STRING": query}))

    check()


def test_any_headers(client: FlaskClient, tried: settings) -> None:
    names = st.sampled_from([f"HTTP_{name}" for name in HEADERS] + ["CONTENT_TYPE"])

    @tried
    @given(methods, addresses, st.dictionaries(names, header, max_size=4))
    def check(method: str, address: str, headers: dict[str, str]) -> None:
        assert_good(open_raw(client, method, address, headers, data=b"description=a"))

    check()


@pytest.mark.parametrize(
    ("method", "address"),
    [("POST", "/statuses"), ("PUT", "/statuses/2"), ("PUT", "/stores/1/statuses/2")],
)
def test_any_body(
    client: FlaskClient, tried: settings, method: str, address: str
) -> None:
    multipart = "--x\r\nContent-Disposition: form-data; name={!r}\r\n\r\n{}\r\n"
    raw = st.binary(max_size=200)
    parts = pairs.map(lambda ps: "".join(multipart.format(*p) for p in ps) + "--x--")
    bodies = st.one_of(
        st.tuples(st.sampled_from(TYPES) | header, raw),
        st.tuples(st.just("application/json"), fields.map(json.dumps)),
        st.tuples(st.just("text/json"), anything.map(json.dumps)),
        st.tuples(st.just(TYPES[3]), parts),
    )

    @tried
    @given(bodies | pairs.map(lambda sent: (TYPES[2], dict(sent))))
    def check(body: tuple[str, Any]) -> None:
        content_type, data = body
        address_ = f"/api/2.0{address}"
        sent = {"content_type": content_type, "data": data}
        assert_good(client.open(address_, method=method, **sent))

    check()
