"""The resource /statuses, as the documentation lists it."""

from flask import Response, request

from . import bodies, reading, schemas, writing
from .auth import caller
from .caching import cached, check_preconditions, read_conditions
from .database import transaction
from .models import Status
from .responses import ApiBlueprint, address, as_json, as_list, no_content
from .schemas import ignored_in
from .writing import changes_schema, new_status_schema, write_query

bp = ApiBlueprint("statuses", __name__)
statuses_query = schemas.StatusesQuery()
status_query = schemas.StatusQuery()


@bp.get("/statuses")
@cached
def index(**_: str) -> Response:
    """List the statuses of a type."""
    query = statuses_query.load(request.args)
    found = reading.list_statuses(query["type"], query["lang_code"], caller().store_id)
    return as_list("statuses", reading.matching(found, query), query)


@bp.get("/statuses/<status_id>")
@cached
def show(status_id: str, **_: str) -> Response:
    """Read one status."""
    query = status_query.load(request.args)
    return as_json(
        reading.get_status_or_404(status_id, query["lang_code"], caller().store_id)
    )


@bp.post("/statuses")
def create(**_: str) -> Response:
    """Create a status, its texts the same in every language."""
    body = bodies.read(request)  # 411, 413, 415, 400
    fields = new_status_schema.load(body)  # 400
    conditions = read_conditions(request)  # 400
    with transaction():
        check_preconditions(conditions, index)  # 412
        status_id = str(writing.add_status(fields).status_id)
    # The documentation has the first key; existing clients read the second.
    created = {"statuses_id": status_id, "status_id": status_id}
    location = f"{address().rstrip('/')}/{status_id}"
    return as_json(created | ignored_in(body), 201, {"Location": location})


@bp.put("/statuses/<status_id>")
def update(status_id: str, **_: str) -> Response:
    """Change the fields in the body, and only those."""
    body = bodies.read(request)  # 411, 413, 415, 400
    changes = write_query.load(request.args) | changes_schema.load(body)  # 400
    conditions = read_conditions(request)  # 400
    with transaction():
        status = reading.get_or_404(Status, status_id)
        check_preconditions(conditions, show, status_id=status_id)  # 428, 412
        writing.change_status(status, changes)
    return as_json({"status_id": status_id} | ignored_in(body))


@bp.delete("/statuses/<status_id>")
def delete(status_id: str, **_: str) -> Response:
    """Delete a status and its texts everywhere, unless it is built in or in use."""
    conditions = read_conditions(request)  # 400
    with transaction():
        status = reading.get_or_404(Status, status_id)
        check_preconditions(conditions, show, status_id=status_id)  # 428, 412
        writing.remove_status(status)
    return no_content()
