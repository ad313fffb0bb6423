"""Order statuses over HTTP, as a blueprint for a Flask application.

    from order_statuses import create_blueprint

    app.register_blueprint(create_blueprint(), url_prefix="/api/2.0")

What a shop imports from here, and docs/embedding.md shows in use:

- ``create_blueprint``; ``exempt_from_csrf``, for a shop with Flask-WTF's CSRFProtect
- ``Caller``, which ``ORDER_STATUSES_IDENTIFY`` returns; ``identify_user``, which
  identifies an API user by HTTP Basic
- ``list_statuses`` and ``get_status_or_404``, for pages and jobs in process
- ``replace_stores``, and the signals ``status_created``, ``status_updated`` and
  ``status_deleted``
- ``Base``, whose metadata the shop's Alembic needs; ``Status``, for a foreign key
- ``seed_statuses``, which fills the tables, and for tests creates them
"""

from importlib import import_module
from os.path import dirname
from typing import TYPE_CHECKING, Any

# A module with a __path__ is a package: the flat modules beside this one import as
# order_statuses.*, and never clash with a shop's own app.py or models.py. In the wheel
# this file is the package's __init__.py.
__path__ = [dirname(__file__)]

__all__ = [
    "Base",
    "Caller",
    "Status",
    "create_blueprint",
    "exempt_from_csrf",
    "get_status_or_404",
    "identify_user",
    "list_statuses",
    "seed_statuses",
    "replace_stores",
    "status_created",
    "status_deleted",
    "status_updated",
]

if TYPE_CHECKING:
    from order_statuses.api import create_blueprint, exempt_from_csrf
    from order_statuses.auth import Caller, identify_user
    from order_statuses.migrations import seed_statuses
    from order_statuses.models import Base, Status
    from order_statuses.reading import get_status_or_404, list_statuses
    from order_statuses.writing import (
        replace_stores,
        status_created,
        status_deleted,
        status_updated,
    )
else:
    # Each is loaded when it is first asked for: gunicorn's master, which imports the
    # settings from here, must not load the application that SIGHUP replaces.
    MODULES = {
        "api": ("create_blueprint", "exempt_from_csrf"),
        "auth": ("Caller", "identify_user"),
        "migrations": ("seed_statuses",),
        "models": ("Base", "Status"),
        "reading": ("get_status_or_404", "list_statuses"),
        "writing": (
            "replace_stores",
            "status_created",
            "status_deleted",
            "status_updated",
        ),
    }

    def __getattr__(name: str) -> Any:
        for module, names in MODULES.items():
            if name in names:
                return getattr(import_module(f"order_statuses.{module}"), name)
        raise AttributeError(f"module 'order_statuses' has no attribute {name!r}")
