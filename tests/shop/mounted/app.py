"""The shop, which serves the API of the order statuses as well."""

from flask import Flask, redirect, render_template, request, url_for
from flask_login import LoginManager, current_user
from flask_migrate import Migrate
from flask_wtf import CSRFProtect
from pages import pages

import config
from api import api
from models import Customer, Order, Shop, db
from order_statuses import create_blueprint, exempt_from_csrf, status_updated
from statuses import count_orders, identify, note_change, publish_stores

migrate = Migrate()
login_manager = LoginManager()
csrf = CSRFProtect()
csrf.exempt(api)


@login_manager.user_loader
def load_customer(customer_id):
    return db.session.get(Customer, int(customer_id))


def create_app(settings=None):
    app = Flask(__name__)
    app.config.from_object(config)
    app.config.from_mapping(settings or {})
    db.init_app(app)
    migrate.init_app(app, db)
    login_manager.init_app(app)
    csrf.init_app(app)
    app.before_request(send_strangers_to_login)
    app.register_blueprint(pages)
    app.register_blueprint(api, url_prefix="/api")
    app.config["ORDER_STATUSES_IDENTIFY"] = identify
    app.config["ORDER_STATUSES_IN_USE"] = count_orders
    app.register_blueprint(create_blueprint(), url_prefix="/api/2.0")
    unversioned = create_blueprint("unversioned", list_form="envelope")
    app.register_blueprint(unversioned, url_prefix="/api")
    exempt_from_csrf(app, csrf)
    status_updated.connect(note_change, app)
    app.cli.command("publish-stores")(publish_stores)
    app.register_error_handler(404, not_found)
    app.register_error_handler(500, failed)
    app.cli.command("seed")(seed)
    return app


def send_strangers_to_login():
    if request.path.startswith("/api/") or request.endpoint == "pages.log_in":
        return None
    if current_user.is_anonymous:
        return redirect(url_for("pages.log_in"))


def not_found(error):
    return render_template("error.html", text="Not in this shop"), 404


def failed(error):
    return render_template("error.html", text="Sorry"), 500


def seed():
    """Fill an empty database, for a demonstration."""
    for name, is_manager in (("manager", True), ("customer", False)):
        customer = Customer(email=f"{name}@shop.example", is_manager=is_manager)
        customer.set_password(name)
        db.session.add(customer)
        db.session.flush()
        db.session.add(Order(customer_id=customer.id, status="B", total=100))
    db.session.add_all([Shop(id=1, name="Main shop"), Shop(id=7, name="Outlet")])
    db.session.commit()
