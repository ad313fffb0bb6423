"""Order statuses over HTTP, as a blueprint for a Flask application.

    app.register_blueprint(create_blueprint(), url_prefix="/api/2.0")

A host imports from the submodules; README.md, "In a shop of your own", shows how:

- ``order_statuses.api``: ``create_blueprint``; ``exempt_from_csrf``
- ``order_statuses.auth``: ``Caller``, what ``ORDER_STATUSES_IDENTIFY`` returns, and
  ``identify_user``, which asks our own API users
- ``order_statuses.catalogue``: ``list_statuses``, for pages and jobs in process
- ``order_statuses.host``: ``set_stores``, and the signals ``status_created``,
  ``status_updated`` and ``status_deleted``
- ``order_statuses.models``: ``Base``, whose metadata the host's Alembic needs
"""

from os.path import dirname

# A module with a __path__ is a package: the flat modules beside this one import as
# order_statuses.*, and never clash with a host's own app.py or models.py. In the wheel
# this file is the package's __init__.py.
__path__ = [dirname(__file__)]
