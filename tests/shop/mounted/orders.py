"""What happens to an order that gets another status."""

from mail import send

from models import db
from order_statuses import find_status


def change_status(order, letter):
    order.status = letter
    db.session.commit()
    customer = order.customer
    status = find_status(letter, "O", customer.lang_code, order.shop_id)
    if status and status.params.get("notify") == "Y":
        subject = f"Your order {order.id} {status.email_subj}"
        send(customer.email, subject, status.email_header)
