"""Reading: one status, a list, as a store and a language see it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import aliased
from werkzeug.datastructures import ImmutableDict
from werkzeug.exceptions import NotFound

from . import config
from .database import Query, db, read
from .models import MAX_ID, TEXTS, ChangeTag, Status, StatusText, Store, StoreText

Row = TypeVar("Row", Status, Store)

ID = re.compile("[1-9][0-9]{0,18}")


@dataclass(frozen=True)
class OrderStatus:
    """A status as one store and one language see it, in the documentation's order."""

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
    """Return all statuses of a type, as a language and a store see them."""
    if type_ not in config.types():
        return []
    return query_statuses(STATUSES_OF_TYPE, {"type": type_}, lang_code, store_id)


def get_status_or_404(
    status_id: str, lang_code: str | None = None, store_id: int | None = None
) -> OrderStatus:
    """Return one status, as a language and a store see it."""
    key = {"status_id": id_or_404(status_id, "status")}
    found = query_statuses(STATUS_BY_ID, key, lang_code, store_id)
    if not found:
        raise NotFound("There is no such status.")
    return found[0]


def id_or_404(text: str, noun: str) -> int:
    """Return the id that *text* spells, for a row called *noun* in the message."""
    # int() would take 007 and other scripts' digits, and a database overflow.
    if not ID.fullmatch(text) or int(text) > MAX_ID:
        raise NotFound(f"There is no such {noun}.")
    return int(text)


def get_or_404(model: type[Row], text: str) -> Row:
    """Return the status or store whose id *text* spells, as it is now."""
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
    """Return *status* with what this transaction has changed in it."""
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
    rows = read(query, {**key, **seen})
    names = rows[0]._fields
    # A look-up by name in each row would cost as much as the query.
    found = (dict(zip(names, row, strict=True)) for row in rows)
    return [as_status(row, asked) for row in found if row["status_id"] is not None]


def as_status(row: dict[str, Any], lang_code: str) -> OrderStatus:
    del row["tag"]
    row["status_id"], row["position"] = str(row["status_id"]), str(row["position"])
    row["params"] = ImmutableDict(row["params"])
    return OrderStatus(lang_code=lang_code, **row)


def list_stores(store_id: int | None = None) -> list[Storefront]:
    """Return all storefronts, or the one with this id alone."""
    rows = read(ALL_STORES if store_id is None else STORE_BY_ID, {"store_id": store_id})
    return [
        Storefront(company_id=str(row.store_id), company=row.name)
        for row in rows
        if row.store_id is not None
    ]


def get_store_or_404(store_id: str) -> Storefront:
    """Return one storefront."""
    found = list_stores(id_or_404(store_id, "store"))
    if not found:
        raise NotFound("There is no such store.")
    return found[0]


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


def reading(condition: sa.ColumnElement[bool]) -> Query:
    """Return the query for the statuses that meet *condition*, beside the change tag.

    Its columns are named as in OrderStatus. Field by field, a text is the first that
    there is: the store's or the common one, in the language asked for, the default
    language or any; never null.
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
        ChangeTag.tag,
        Status.status_id,
        Status.status,
        Status.type,
        Status.is_default,
        Status.position,
        *[text(name) for name in TEXTS],
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


STATUSES_OF_TYPE = reading(Status.type == sa.bindparam("type"))
STATUS_BY_ID = reading(Status.status_id == sa.bindparam("status_id"))

EVERY_STORE = sa.select(ChangeTag.tag, Store.store_id, Store.name).order_by(
    Store.store_id
)
ALL_STORES = EVERY_STORE.outerjoin_from(ChangeTag, Store, sa.true())
STORE_BY_ID = EVERY_STORE.outerjoin_from(
    ChangeTag, Store, Store.store_id == sa.bindparam("store_id")
)
