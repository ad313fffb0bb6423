"""The pages of the shop."""

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask_login import current_user, login_user
from sqlalchemy import select

from models import Customer, Order, db
from statuses import labels

pages = Blueprint("pages", __name__)


@pages.route("/login", methods=["GET", "POST"])
def log_in():
    if request.method == "GET":
        return render_template("login.html")
    of_email = select(Customer).where(Customer.email == request.form["email"])
    customer = db.session.scalar(of_email)
    if customer is None or not customer.has_password(request.form["password"]):
        return render_template("login.html", text="Unknown"), 403
    login_user(customer)
    return redirect(url_for(".show_orders"))


@pages.get("/")
def show_orders():
    own = select(Order).filter_by(customer_id=current_user.id).order_by(Order.id)
    return render_template("orders.html", orders=db.session.scalars(own))


@pages.post("/orders")
def place_order():
    order = Order(customer_id=current_user.id, total=int(request.form["total"]))
    db.session.add(order)
    db.session.commit()
    return redirect(url_for(".show_order", order_id=order.id))


@pages.get("/orders/<int:order_id>")
def show_order(order_id):
    order = db.get_or_404(Order, order_id)
    if order.customer_id != current_user.id:
        abort(404)
    return render_template("order.html", order=order, labels=labels())
