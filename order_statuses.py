"""Order statuses over HTTP, as a blueprint for a Flask application.

A host imports from the submodules; README.md, "In a shop of your own", shows how:

- ``order_statuses.api``: ``create_blueprint``
- ``order_statuses.auth``: ``Caller``, what ``ORDER_STATUSES_IDENTIFY`` returns
- ``order_statuses.models``: ``Base``, whose metadata the host's Alembic needs
"""

from os.path import dirname

# A module with a __path__ is a package: the flat modules beside this one import as
# order_statuses.*, and never clash with a host's own app.py or models.py.
__path__ = [dirname(__file__)]
