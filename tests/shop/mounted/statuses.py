"""The order statuses in the shop: who may change them, and what refers to them."""

from admin import add_packed, edit_status
from flask_login import current_user
from sqlalchemy import ForeignKey, func, select
from sqlalchemy.orm import Mapped, mapped_column
from tenants import seed_tenants

from models import Order, Shop, db
from order_statuses import (
    Caller,
    Status,
    create_blueprint,
    exempt_from_csrf,
    list_statuses,
    replace_stores,
    status_updated,
)


class Icon(db.Model):
    """The picture of an order's status."""

    status_id: Mapped[int] = mapped_column(
        ForeignKey(Status.__table__.c.status_id), primary_key=True
    )
    file: Mapped[str]


def mount(app, csrf):
    app.config["ORDER_STATUSES_IDENTIFY"] = identify
    app.config["ORDER_STATUSES_COUNT_ORDERS"] = count_orders
    app.register_blueprint(create_blueprint(), url_prefix="/api/2.0")
    unversioned = create_blueprint("unversioned", list_form="envelope")
    app.register_blueprint(unversioned, url_prefix="/api")
    exempt_from_csrf(app, csrf)
    status_updated.connect(note_change, app)
    app.add_template_global(labels)
    methods = ["GET", "POST"]
    app.add_url_rule("/statuses/<letter>", view_func=edit_status, methods=methods)
    app.cli.command("nightly")(add_packed)
    app.cli.command("publish-stores")(publish_stores)
    app.cli.command("seed-tenants")(seed_tenants)


def identify():
    if current_user.is_authenticated:
        return Caller(current_user.email, read_only=not current_user.is_manager)


def count_orders(status):
    if status.type != "O":  # gift certificates have letters of their own
        return 0
    of_status = Order.status == status.status
    return db.session.scalar(select(func.count()).where(of_status))


def note_change(app, status, caller, store_id, **_):
    app.logger.warning("%s changed %s", caller.name, status.description)


def labels():
    return {status.status: status for status in list_statuses("O", lang_code="en")}


def publish_stores():
    replace_stores({shop.id: shop.name for shop in db.session.scalars(select(Shop))})
    db.session.commit()
