"""The tenants of the shop: each has the tables in a schema of its own."""

from flask import g, request
from sqlalchemy import event

from models import db
from order_statuses import seed_statuses

SCHEMAS = {"acme.example": "acme", "globex.example": "globex"}


@event.listens_for(db.session, "after_begin")
def use_schema(session, transaction, connection):
    schema = SCHEMAS.get(request.host) if request else g.get("schema")
    if schema:
        connection.exec_driver_sql(f"SET LOCAL search_path TO {schema}")


def seed_tenants():
    for schema in SCHEMAS.values():
        g.schema = schema  # a command has no request
        seed_statuses()
