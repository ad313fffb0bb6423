"""The resource /stores, and the statuses as a store sees them."""

from flask import request
from flask.typing import ResponseReturnValue

from order_statuses import bodies, catalogue, host, models, writing
from order_statuses.answers import Resource, as_json, as_list, check_preconditions
from order_statuses.auth import caller
from order_statuses.models import Status, Store
from order_statuses.schemas import (
    PageQuery,
    StatusesQuery,
    StatusQuery,
    StoreTextsSchema,
    WriteQuery,
)

bp = Resource("stores", __name__)
page_query = PageQuery()
status_query = StatusQuery()
statuses_query = StatusesQuery()
write_query = WriteQuery()
store_texts_schema = StoreTextsSchema()


@bp.get("/stores")
def index() -> ResponseReturnValue:
    """List the storefronts that the caller has access to."""
    found = catalogue.list_stores(caller().store_id)
    return as_list("stores", found, page_query.load(request.args))


@bp.get("/stores/<store_id>")
def show(store_id: str) -> ResponseReturnValue:
    """Read one storefront."""
    return as_json(catalogue.get_store_or_404(store_id))


@bp.get("/stores/<store_id>/statuses")
def statuses(store_id: str) -> ResponseReturnValue:
    """List the statuses of a type as a storefront sees them."""
    catalogue.get_store_or_404(store_id)
    query = statuses_query.load(request.args)
    found = catalogue.list_statuses(query["type"], query["lang_code"], int(store_id))
    return as_list("statuses", found, query)


@bp.get("/stores/<store_id>/statuses/<status_id>")
def show_status(store_id: str, status_id: str) -> ResponseReturnValue:
    """Read one status as a storefront sees it."""
    catalogue.get_store_or_404(store_id)
    query = status_query.load(request.args)
    return as_json(
        catalogue.get_status_or_404(status_id, query["lang_code"], int(store_id))
    )


@bp.put("/stores/<store_id>/statuses/<status_id>")
def update_status(store_id: str, status_id: str) -> ResponseReturnValue:
    """Set a status's e-mail texts in one storefront; null takes the common one again.

    They change in one language: the body's lang_code, else the query's, else the
    default. Other fields are set without a store.
    """
    sent = bodies.read(request)  # before the lock: a slow sender must not hold it
    with writing.transaction() as after_commit:
        check_preconditions(sent)
        store = models.get_or_404(Store, store_id)
        status = models.get_or_404(Status, status_id)
        texts = store_texts_schema.load(bodies.decode(sent))
        fields = write_query.load(request.args) | texts
        writing.set_store_texts(status, store, fields)
        news = host.announcement(
            host.status_updated, status, fields["lang_code"], store.store_id
        )
        after_commit(news)
    return as_json({"status_id": status_id})
