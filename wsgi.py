"""The application for servers: ``gunicorn wsgi:app``, ``flask run``."""

import sys

from werkzeug.serving import is_running_from_reloader

from order_statuses.app import create_app
from order_statuses.config import SettingError

try:
    app = create_app()
except SettingError as error:
    if is_running_from_reloader():  # it would start the process again after status 3
        raise
    error.show()
    sys.exit(error.exit_code)
