"""The probes: without credentials, without a word about the inside."""

from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from order_statuses import config, migrations
from order_statuses.database import db

from .conftest import on_postgresql, service

NOT_READY = {"message": "Service Unavailable: The service is not ready.", "status": 503}


@pytest.fixture
def away() -> Iterator[FlaskClient]:
    """A client of a service whose database refuses connections."""
    with service("postgresql://shop:secret@127.0.0.1:1/statuses") as app:
        yield app.test_client()


def assert_not_ready(client: FlaskClient) -> None:
    response = client.get("/readyz")

    assert (response.status_code, response.json) == (503, NOT_READY)
    assert int(response.headers["Retry-After"]) > 0


def test_service_with_its_database_is_live_and_ready(stranger: FlaskClient) -> None:
    live, ready = stranger.get("/livez"), stranger.get("/readyz")

    assert (live.status_code, live.json) == (200, {"status": "live"})
    assert (ready.status_code, ready.json) == (
        200,
        {"status": "ready", "version": config.__version__},
    )
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
        assert "flask order-statuses init" in caplog.text

        with app.app_context():
            migrations.initialise()
        assert app.test_client().get("/readyz").status_code == 200


def set_version(app: Flask, version: str) -> None:
    with app.app_context():
        change = text("UPDATE order_statuses_alembic SET version_num = :version")
        db.session.execute(change, {"version": version})
        db.session.commit()


def test_service_is_not_ready_without_one_of_its_tables(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    with service(database) as app:
        with app.app_context():
            db.session.execute(text("DROP TABLE order_statuses_store_text"))
            db.session.commit()

        assert_not_ready(app.test_client())
    assert "order_statuses_store_text is missing: flask order" in caplog.text


def test_service_is_ready_for_tables_of_a_newer_version(database: str) -> None:
    with service(database) as app:
        set_version(app, "9999")

        assert app.test_client().get("/readyz").status_code == 200


@on_postgresql
def test_service_is_not_ready_without_its_grants(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    """``init`` says the same."""
    with service(database) as app, app.app_context():
        db.session.execute(text("CREATE ROLE clerk"))
        db.session.execute(text("GRANT SELECT ON ALL TABLES IN SCHEMA public TO clerk"))
        db.session.commit()
    with service(f"{database}&options=-c%20role=clerk") as app:
        assert_not_ready(app.test_client())
        refused = app.test_cli_runner().invoke(args=["order-statuses", "init"])
    with service(database) as app, app.app_context():
        db.session.execute(text("DROP OWNED BY clerk; DROP ROLE clerk"))
        db.session.commit()

    for lacking in (
        "INSERT on order_statuses_status,",
        "USAGE on order_statuses_status_status_id_seq",
        "UPDATE on order_statuses_status_status_id_seq",
    ):
        assert lacking in caplog.text
        assert lacking in refused.stderr


@pytest.mark.parametrize("probe", ["/livez", "/readyz"])
def test_probe_is_only_read(stranger: FlaskClient, probe: str) -> None:
    refused = stranger.post(probe)

    assert (refused.status_code, refused.mimetype) == (405, "application/json")
    assert stranger.head(probe).status_code == 200
    assert stranger.get(f"/api/2.0{probe}").status_code == 401
