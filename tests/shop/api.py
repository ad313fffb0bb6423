"""The shop's own API, for its warehouse."""

from flask import Blueprint, abort, current_app, request
from marshmallow import Schema, ValidationError, fields
from sqlalchemy import select

from models import Order, db

api = Blueprint("api", __name__)


class OrderSchema(Schema):
    id = fields.Integer(dump_only=True)
    customer_id = fields.Integer(required=True)
    status = fields.String()
    total = fields.Integer(required=True)


order_schema = OrderSchema()


@api.before_request
def check_token():
    if request.headers.get("X-Token") != current_app.config["API_TOKEN"]:
        abort(401)


@api.get("/orders")
def list_orders():
    orders = db.session.scalars(select(Order).order_by(Order.id))
    return order_schema.dump(orders, many=True)


@api.post("/orders")
def create_order():
    try:
        order = Order(**order_schema.load(request.get_json()))
    except ValidationError as error:
        return error.messages, 400
    db.session.add(order)
    db.session.commit()
    return order_schema.dump(order), 201
