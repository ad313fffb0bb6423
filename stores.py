"""The resource /stores, and the statuses as a store sees them."""

from flask import Response, request

from . import bodies, reading, schemas, writing
from .auth import caller
from .caching import cached, check_preconditions, read_conditions
from .database import transaction
from .models import Status, Store
from .responses import ApiBlueprint, as_json, as_list
from .schemas import ignored_in
from .writing import store_texts_schema, write_query

bp = ApiBlueprint("stores", __name__)
page_query = schemas.PageQuery()
status_query = schemas.StatusQuery()
statuses_query = schemas.StatusesQuery()


@bp.get("/stores")
@cached
def index(**_: str) -> Response:
    """List the storefronts that the caller has access to."""
    query = page_query.load(request.args)
    return as_list("stores", reading.list_stores(caller().store_id), query)


@bp.get("/stores/<store_id>")
@cached
def show(store_id: str, **_: str) -> Response:
    """Read one storefront."""
    return as_json(reading.get_store_or_404(store_id))


@bp.get("/stores/<store_id>/statuses")
@cached
def statuses(store_id: str, **_: str) -> Response:
    """List the statuses of a type as a storefront sees them."""
    query = statuses_query.load(request.args)
    reading.get_store_or_404(store_id)
    found = reading.list_statuses(query["type"], query["lang_code"], int(store_id))
    return as_list("statuses", reading.matching(found, query), query)


@bp.get("/stores/<store_id>/statuses/<status_id>")
@cached
def show_status(store_id: str, status_id: str, **_: str) -> Response:
    """Read one status as a storefront sees it."""
    query = status_query.load(request.args)
    reading.get_store_or_404(store_id)
    return as_json(
        reading.get_status_or_404(status_id, query["lang_code"], int(store_id))
    )


@bp.put("/stores/<store_id>/statuses/<status_id>")
def update_status(store_id: str, status_id: str, **_: str) -> Response:
    """Set the e-mail texts of a status in one storefront and one language.

    null removes the storefront's own text. Other fields are set without a store.
    """
    body = bodies.read(request)  # 411, 413, 415, 400
    texts = write_query.load(request.args) | store_texts_schema.load(body)  # 400
    conditions = read_conditions(request)  # 400
    ids = {"store_id": store_id, "status_id": status_id}
    with transaction():
        store = reading.get_or_404(Store, store_id)
        status = reading.get_or_404(Status, status_id)
        check_preconditions(conditions, show_status, **ids)  # 428, 412
        writing.set_store_texts(status, store.store_id, texts)
    return as_json({"status_id": status_id} | ignored_in(body))
