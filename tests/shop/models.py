"""The tables of the shop."""

from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column, relationship
from werkzeug.security import check_password_hash, generate_password_hash

db = SQLAlchemy()


class Customer(UserMixin, db.Model):
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    is_manager: Mapped[bool] = mapped_column(default=False)
    lang_code: Mapped[str] = mapped_column(default="en")

    def set_password(self, password):
        self.password_hash = generate_password_hash(password)

    def has_password(self, password):
        return check_password_hash(self.password_hash, password)


class Order(db.Model):
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey(Customer.id))
    status: Mapped[str] = mapped_column(default="O")  # a letter
    total: Mapped[int]
    shop_id: Mapped[int | None]
    customer: Mapped[Customer] = relationship()


class Shop(db.Model):
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Status(db.Model):
    """What the shop says of itself on its first page."""

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]
