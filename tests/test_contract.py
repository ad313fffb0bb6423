"""The tests' own client: a response against the OpenAPI document fails its test."""

from typing import Any

import pytest
from flask import Flask, Response

from .conftest import ADMINISTRATOR, client_of

pytestmark = pytest.mark.one_database


def undocumented_header(response: Response) -> Response:
    response.headers["X-Undocumented"] = "1"
    return response


def undocumented_status_code(response: Response) -> Response:
    response.status_code = 418
    return response


def undocumented_field(response: Response) -> Response:
    response.set_data(response.get_data().replace(b'"type"', b'"kind"'))
    return response


def missing_header(response: Response) -> Response:
    del response.headers["X-Total-Count"]
    return response


def missing_method(response: Response) -> Response:
    response.headers["Allow"] = response.headers["Allow"].replace(", POST", "")
    return response


@pytest.mark.parametrize(
    ("method", "change"),
    [
        ("GET", undocumented_header),
        ("GET", undocumented_status_code),
        ("GET", undocumented_field),
        ("GET", missing_header),
        ("HEAD", missing_header),
        ("OPTIONS", undocumented_header),
        ("OPTIONS", undocumented_status_code),
        ("OPTIONS", missing_method),
        ("PATCH", missing_method),
    ],
)
def test_a_response_against_the_document_fails_its_test(
    app: Flask, monkeypatch: pytest.MonkeyPatch, method: str, change: Any
) -> None:
    monkeypatch.setitem(app.after_request_funcs, None, [change])

    with pytest.raises(AssertionError):
        client_of(app, ADMINISTRATOR).open("/api/2.0/statuses", method=method)
