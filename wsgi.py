"""The application for servers: ``gunicorn wsgi:app``, ``flask run``."""

from order_statuses.app import create_app

app = create_app()
