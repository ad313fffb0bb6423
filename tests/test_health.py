"""The probes: without credentials, without a word about the inside."""

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from order_statuses import cli
from order_statuses.models import db

from .conftest import service

NOT_READY = {"message": "Service Unavailable: The service is not ready.", "status": 503}


@pytest.fixture
def away() -> Iterator[FlaskClient]:
    """A client of a service whose database refuses connections."""
    with service("postgresql://shop:secret@127.0.0.1:1/statuses") as app:
        yield app.test_client()


def assert_not_ready(client: FlaskClient) -> None:
    answer = client.get("/readyz")

    assert (answer.status_code, answer.json) == (503, NOT_READY)
    assert int(answer.headers["Retry-After"]) > 0


def test_service_with_its_database_is_live_and_ready(stranger: FlaskClient) -> None:
    live, ready = stranger.get("/livez"), stranger.get("/readyz")

    assert (live.status_code, live.json) == (200, {"status": "live"})
    assert (ready.status_code, ready.json) == (200, {"status": "ready"})
    assert live.headers["Cache-Control"] == "no-store"


def test_service_without_its_database_is_live_and_not_ready(
    away: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    assert away.get("/livez").status_code == 200
    assert_not_ready(away)
    assert "Connection refused" in caplog.text
    assert "secret" not in caplog.text


def test_service_is_not_ready_before_init(
    empty_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    with service(empty_database) as app:
        assert_not_ready(app.test_client())
        assert "order_statuses_version" in caplog.text

        with app.app_context():
            cli.initialise()
        assert app.test_client().get("/readyz").status_code == 200


@pytest.mark.parametrize("version", ["0000", "9999"])
def test_service_is_not_ready_for_tables_of_another_version(
    database: str, caplog: pytest.LogCaptureFixture, version: str
) -> None:
    with service(database) as app:
        with app.app_context():
            change = text("UPDATE order_statuses_version SET version_num = :version")
            db.session.execute(change, {"version": version})
            db.session.commit()

        assert_not_ready(app.test_client())
    assert f"the tables are at version {version}, not at " in caplog.text


@pytest.mark.parametrize("probe", ["/livez", "/readyz"])
def test_probe_is_only_read(stranger: FlaskClient, probe: str) -> None:
    refused = stranger.post(probe)

    assert (refused.status_code, refused.mimetype) == (405, "application/json")
    assert stranger.head(probe).status_code == 200
    assert stranger.get(f"/api/2.0{probe}").status_code == 401
