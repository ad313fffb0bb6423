"""The resource /statuses, as the documentation page lists it."""

from flask import request, url_for
from flask.typing import ResponseReturnValue

from order_statuses import bodies, catalogue, config, host, models, writing
from order_statuses.answers import (
    Resource,
    as_json,
    as_list,
    check_preconditions,
    no_content,
)
from order_statuses.auth import caller
from order_statuses.models import Status
from order_statuses.schemas import (
    ChangesSchema,
    StatusesQuery,
    StatusQuery,
    StatusSchema,
    WriteQuery,
)

bp = Resource("statuses", __name__)
statuses_query = StatusesQuery()
status_query = StatusQuery()
write_query = WriteQuery()
status_schema = StatusSchema()
changes_schema = ChangesSchema(partial=True)


@bp.get("/statuses")
def index() -> ResponseReturnValue:
    """List the statuses of a type."""
    query = statuses_query.load(request.args)
    found = catalogue.list_statuses(
        query["type"], query["lang_code"], caller().store_id
    )
    return as_list("statuses", found, query)


@bp.get("/statuses/<status_id>")
def show(status_id: str) -> ResponseReturnValue:
    """Read one status."""
    query = status_query.load(request.args)
    return as_json(
        catalogue.get_status_or_404(status_id, query["lang_code"], caller().store_id)
    )


@bp.post("/statuses")
def create() -> ResponseReturnValue:
    """Create a status, its texts the same in every language.

    Its letter is the first that no status of its type has: of A to Z, without N and T,
    then of 0 to 9.
    """
    sent = bodies.read(request)
    with writing.transaction() as after_commit:
        fields = status_schema.load(bodies.decode(sent))
        created = writing.create_status(fields, config.languages())
        status_id = str(created.status_id)
        after_commit(host.announcement(host.status_created, created))
    # The documentation's key, and the one that deployed clients read.
    body = {"statuses_id": status_id, "status_id": status_id}
    return as_json(body, 201, {"Location": url_for(".show", status_id=status_id)})


@bp.put("/statuses/<status_id>")
def update(status_id: str) -> ResponseReturnValue:
    """Change the fields that were sent, and only those.

    Texts change in one language: the body's lang_code, else the query's, else the
    default. Params are merged key by key; null removes one.
    """
    sent = bodies.read(request)  # before the lock: a slow sender must not hold it
    with writing.transaction() as after_commit:
        check_preconditions(sent)
        status = models.get_or_404(Status, status_id)
        changes = changes_schema.load(bodies.decode(sent))
        fields = write_query.load(request.args) | changes
        writing.change_status(status, fields)
        news = host.announcement(host.status_updated, status, fields["lang_code"])
        after_commit(news)
    return as_json({"status_id": status_id})


@bp.delete("/statuses/<status_id>")
def delete(status_id: str) -> ResponseReturnValue:
    """Delete a status and its texts everywhere, unless it is built in or in use."""
    with writing.transaction() as after_commit:
        check_preconditions()
        status = models.get_or_404(Status, status_id)
        writing.check_not_default(status)
        host.check_unused(status)
        after_commit(host.announcement(host.status_deleted, status))
        writing.delete_status(status)
    return no_content()
