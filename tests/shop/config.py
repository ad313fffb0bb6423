"""The settings of the shop."""

import os

SECRET_KEY = os.environ.get("SHOP_SECRET", "for development")
SQLALCHEMY_DATABASE_URI = os.environ.get("SHOP_DATABASE", "sqlite:///shop.db")
API_TOKEN = os.environ.get("SHOP_API_TOKEN", "for development")
MAIL_FOLDER = os.environ.get("SHOP_MAIL", "mail")
