"""Cached responses in a shop: they hold nothing of the shop's, nor of one caller's."""

import pytest
from flask import Flask, Response, after_this_request, request
from flask.testing import FlaskClient
from flask_compress import Compress

from order_statuses.api import create_blueprint
from order_statuses.auth import Caller

from .conftest import settings_of, statements_of
from .small_shop import STATUSES


def test_warm_read_through_the_session_of_a_shop_is_one_statement(
    shop: Flask, visitor: FlaskClient
) -> None:
    visitor.get(STATUSES)

    with statements_of(shop) as warm:
        visitor.get(STATUSES)

    assert len(warm) == 1


def test_cached_response_holds_nothing_of_another_caller(shop: Flask) -> None:
    def identify() -> Caller:
        name = request.headers["X-User"]

        @after_this_request
        def set_cookie(response: Response) -> Response:
            response.set_cookie("session", f"of-{name}")
            return response

        return Caller(name)

    def greet(response: Response) -> Response:
        response.headers["X-Greeting"] = f"Hello {request.headers['X-User']}"
        return response

    settings_of(shop)["ORDER_STATUSES_IDENTIFY"] = identify
    greeting = create_blueprint("greeting")
    greeting.after_request(greet)
    shop.register_blueprint(greeting, url_prefix="/api")
    anna, boris = shop.test_client(use_cookies=False), {"X-User": "Boris"}
    first = anna.get("/api/statuses/1", headers={"X-User": "Anna"})
    tag = {"If-None-Match": first.headers["ETag"]}
    others = [
        anna.get("/api/statuses/1", headers=boris),
        anna.head("/api/statuses/1", headers=boris),
        anna.get("/api/statuses/1", headers=boris | tag),
    ]

    assert [other.status_code for other in others] == [200, 200, 304]
    for other in others:
        assert other.headers.getlist("Set-Cookie") == ["session=of-Boris; Path=/"]
        assert other.headers.getlist("X-Greeting") == ["Hello Boris"]


def test_shops_own_response_is_left_alone(shop: Flask) -> None:
    pages = ["<h1>Back soon</h1>"]

    @shop.before_request
    def maintain() -> str | None:
        return pages[0] if pages else None

    with shop.app_context():  # which requests share then
        closed = shop.test_client().get(STATUSES)
        pages.clear()
        opened = shop.test_client().get(STATUSES)
        pages.append("<h1>Back soon</h1>")
        again = shop.test_client().get(STATUSES, headers={"Accept": "text/html"})
        pages.clear()

    assert (closed.status_code, closed.text) == (200, "<h1>Back soon</h1>")
    assert (again.status_code, again.text) == (200, "<h1>Back soon</h1>")
    assert "ETag" not in again.headers
    assert opened.json == shop.test_client().get(STATUSES).json


@pytest.mark.one_database
@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "deflate"])
def test_writes_go_on_behind_the_compression_of_the_shop(
    shop: Flask, visitor: FlaskClient, encoding: str
) -> None:
    shop.config["COMPRESS_MIN_SIZE"] = 1
    Compress(shop)
    accepted = {"Accept-Encoding": encoding}

    seen = visitor.get(f"{STATUSES}/2", headers=accepted).headers
    known = visitor.get(
        f"{STATUSES}/2", headers=accepted | {"If-None-Match": seen["ETag"]}
    )
    written = [
        visitor.put(
            f"{STATUSES}/2", data="email_subj=x", headers={"If-Match": seen["ETag"]}
        ).status_code
        for _ in range(2)
    ]

    assert (seen["Content-Encoding"], known.status_code) == (encoding, 304)
    assert seen["ETag"].endswith(f':{encoding}"')
    assert written == [200, 412]
