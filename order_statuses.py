"""Order statuses over HTTP, as a blueprint for a Flask application.

    from order_statuses import create_blueprint

    app.register_blueprint(create_blueprint(), url_prefix="/api/2.0")

What a shop imports from here, and docs/embedding.md shows in use:

- ``create_blueprint``; ``exempt_from_csrf``, for a shop with Flask-WTF's CSRFProtect
- ``Caller``, which ``ORDER_STATUSES_IDENTIFY`` returns; ``identify_user``, which
  identifies an API user by HTTP Basic
- ``list_statuses``, and ``find_status`` by the letter that an order has
- ``create_status``, ``update_status`` and ``delete_status``, which write in process
- ``replace_stores``, and the signals ``status_created``, ``status_updated`` and
  ``status_deleted``
- ``Base``, whose metadata the shop's Alembic needs; ``Status``, for a foreign key
- ``seed_statuses``, which fills the tables, and for tests creates them
"""

from os.path import dirname

# A module with a __path__ is a package: the flat modules beside this one import as
# order_statuses.*, and never clash with a shop's own app.py or models.py. In the wheel
# this file is the package's __init__.py.
__path__ = [dirname(__file__)]

from order_statuses.api import create_blueprint, exempt_from_csrf
from order_statuses.auth import Caller, identify_user
from order_statuses.migrations import seed_statuses
from order_statuses.models import Base, Status
from order_statuses.reading import find_status, list_statuses
from order_statuses.writing import (
    create_status,
    delete_status,
    replace_stores,
    status_created,
    status_deleted,
    status_updated,
    update_status,
)

__all__ = [
    "Base",
    "Caller",
    "Status",
    "create_blueprint",
    "create_status",
    "delete_status",
    "exempt_from_csrf",
    "find_status",
    "identify_user",
    "list_statuses",
    "replace_stores",
    "seed_statuses",
    "status_created",
    "status_deleted",
    "status_updated",
    "update_status",
]
