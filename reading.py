"""Reading: statuses in a language and for a store, and storefronts."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import aliased
from werkzeug.datastructures import ImmutableDict
from werkzeug.exceptions import NotFound

from . import config
from .database import Query, db, read
from .models import (
    CURRENT_TAG,
    MAX_ID,
    TEXTS,
    ChangeTag,
    Status,
    StatusText,
    Store,
    StoreText,
)

Row = TypeVar("Row", Status, Store)

ID = re.compile("[1-9][0-9]{0,18}")


@dataclass(frozen=True)
class OrderStatus:
    """A status in a language and for a store, in the documentation's order."""

    status_id: str
    status: str
    type: str
    is_default: str
    position: str
    description: str
    email_subj: str
    email_header: str
    lang_code: str
    params: Mapping[str, str]


@dataclass(frozen=True)
class Storefront:
    """A storefront, under the names that the shop gives its fields."""

    company_id: str
    company: str


def list_statuses(
    type_: str, lang_code: str | None = None, store_id: int | None = None
) -> list[OrderStatus]:
    """Return all statuses of a type, in a language and for a store."""
    if type_ not in config.types():
        return []
    return query_statuses(STATUSES_OF_TYPE, {"type": type_}, lang_code, store_id)


def find_status(
    letter: str,
    type_: str = "O",
    lang_code: str | None = None,
    store_id: int | None = None,
) -> OrderStatus | None:
    """Return the status of a type with this *letter*, which orders have, or None."""
    if type_ not in config.types():
        return None
    key = {"type": type_, "status": letter}
    found = query_statuses(STATUS_BY_LETTER, key, lang_code, store_id)
    return found[0] if found else None


def get_status_or_404(
    status_id: str, lang_code: str | None = None, store_id: int | None = None
) -> OrderStatus:
    """Return one status, in a language and for a store.

    :raise 404: there is none
    """
    key = {"status_id": id_or_404(status_id, "status")}
    found = query_statuses(STATUS_BY_ID, key, lang_code, store_id)
    if not found:
        raise NotFound("There is no such status.")
    return found[0]


def id_or_404(text: str, noun: str) -> int:
    """Convert *text* to an id; the message calls the row *noun*.

    :raise 404: no row has such an id
    """
    # int() would take 007 and other scripts' digits, and a database overflow.
    if not ID.fullmatch(text) or int(text) > MAX_ID:
        raise NotFound(f"There is no such {noun}.")
    return int(text)


def get_or_404(model: type[Row], text: str) -> Row:
    """Return the status or store with this id, read again from the database.

    :raise 404: there is none
    """
    noun = model.__name__.lower()
    found = db.session.get(model, id_or_404(text, noun), populate_existing=True)
    if found is None:
        raise NotFound(f"There is no such {noun}.")
    return found


def matching(
    statuses: Iterable[OrderStatus], query: Mapping[str, Any]
) -> list[OrderStatus]:
    """Return those of *statuses* with the letters and all the params of a *query*."""
    letters, params = query["status"], query["params"].items()
    return [
        status
        for status in statuses
        if (not letters or status.status in letters) and params <= status.params.items()
    ]


def snapshot(
    status: Status, lang_code: str | None = None, store_id: int | None = None
) -> OrderStatus:
    """Flush, and return *status* as this transaction sees it."""
    db.session.flush()
    return get_status_or_404(str(status.status_id), lang_code, store_id)


def query_statuses(
    query: Query, key: dict[str, Any], lang_code: str | None, store_id: int | None
) -> list[OrderStatus]:
    """Run one of the queries for statuses at the end of this module.

    A *lang_code* that is not configured means the default language.
    """
    default, *others = config.languages()
    asked = lang_code if lang_code in others else default
    seen = {"asked": asked, "default": default, "store_id": store_id}
    found = read_by_name(query, {**key, **seen})
    return [as_status(row) for row in found if row["status_id"] is not None]


def as_status(row: dict[str, Any]) -> OrderStatus:
    params = row["params"]
    if isinstance(params, str):  # SQLite's driver does not parse JSON
        params = json.loads(params)
    # Rows that were changed in SQL may have another value.
    row["params"] = ImmutableDict(params if isinstance(params, dict) else {})
    return OrderStatus(**row)


def list_stores(store_id: int | None = None) -> list[Storefront]:
    """Return all storefronts, or the one with this id alone."""
    query = ALL_STORES if store_id is None else STORE_BY_ID
    found = read_by_name(query, {"store_id": store_id})
    return [Storefront(**row) for row in found if row["company_id"] is not None]


def get_store_or_404(store_id: str) -> Storefront:
    """Return one storefront."""
    found = list_stores(id_or_404(store_id, "store"))
    if not found:
        raise NotFound("There is no such store.")
    return found[0]


def read_by_name(query: Query, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of *query*, which has the change tag first, without the tag."""
    names = columns_of(query)
    return [dict(zip(names, row[1:])) for row in read(query, parameters)]  # noqa: B905


@lru_cache
def columns_of(query: Query) -> list[str]:
    """Return the names of the columns after the change tag."""
    return query.selected_columns.keys()[1:]


def in_any_language(name: str) -> sa.ScalarSelect[str]:
    """Return the query for the text *name* in the first language that has it."""
    text = getattr(StatusText, name)
    return (
        sa.select(text)
        .where(StatusText.status_id == Status.status_id, text.is_not(None))
        .order_by(StatusText.lang_code)
        .limit(1)
        .correlate(Status)
        .scalar_subquery()
    )


def as_text(column: Any, name: str) -> sa.Label[str]:
    return sa.cast(column, sa.String).label(name)


def select_statuses(condition: sa.ColumnElement[bool]) -> Query:
    """Return the query for the statuses that meet *condition*, beside the change tag.

    Its other columns are named as in OrderStatus. Each text is the first that is not
    null: in the language asked for, the store's or the common one; then the same in the
    default language; then the common one in any language; then "".
    """
    preferred: list[tuple[Any, str]] = [
        (aliased(model), lang_code)
        for lang_code in ("asked", "default")
        for model in (StoreText, StatusText)
    ]

    def text(name: str) -> sa.ColumnElement[str]:
        texts = [getattr(row, name) for row, _ in preferred if hasattr(row, name)]
        return sa.func.coalesce(*texts, in_any_language(name), "").label(name)

    query = sa.select(
        CURRENT_TAG,
        as_text(Status.status_id, "status_id"),
        Status.status,
        Status.type,
        Status.is_default,
        as_text(Status.position, "position"),
        *[text(name) for name in TEXTS],
        sa.bindparam("asked", type_=sa.String).label("lang_code"),
        Status.params,
    ).outerjoin_from(ChangeTag, Status, condition)
    for row, lang_code in preferred:
        keys = [
            Status.status_id == row.status_id,
            row.lang_code == sa.bindparam(lang_code),
        ]
        if hasattr(row, "store_id"):
            keys.append(row.store_id == sa.bindparam("store_id"))
        query = query.outerjoin(row, sa.and_(*keys))
    return query.order_by(Status.position, Status.status_id)


STATUSES_OF_TYPE = select_statuses(Status.type == sa.bindparam("type"))
STATUS_BY_LETTER = select_statuses(
    (Status.type == sa.bindparam("type")) & (Status.status == sa.bindparam("status"))
)
STATUS_BY_ID = select_statuses(Status.status_id == sa.bindparam("status_id"))

EVERY_STORE = sa.select(
    CURRENT_TAG, as_text(Store.store_id, "company_id"), Store.name.label("company")
).order_by(Store.store_id)
ALL_STORES = EVERY_STORE.outerjoin_from(ChangeTag, Store, sa.true())
STORE_BY_ID = EVERY_STORE.outerjoin_from(
    ChangeTag, Store, Store.store_id == sa.bindparam("store_id")
)
