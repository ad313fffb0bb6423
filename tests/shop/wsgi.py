"""The shop, for servers."""

from app import create_app

app = create_app()
