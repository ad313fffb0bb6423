"""The catalogue as a file: the stock data, export and apply."""

import json
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from marshmallow import RAISE, Schema, ValidationError, fields, validate
from sqlalchemy import Connection, delete, func, insert, null, select, union
from sqlalchemy.orm import Session, scoped_session
from sqlalchemy.orm.attributes import flag_modified
from werkzeug.exceptions import BadRequest, HTTPException

from . import bodies, config, host, models, schemas, writing
from .models import (
    TEXTS,
    CatalogueLock,
    Key,
    Status,
    StatusText,
    Store,
    StoreText,
    User,
)

Json = dict[str, Any]
AnySession = Session | scoped_session[Any]
TextModel = type[StatusText] | type[StoreText]

ENGLISH = "en"
FIELDS = ("status_id", "status", "type", "is_default", "params")
# HTTP Basic separates the name from the key by a colon.
EMAIL_ADDRESS = r"(?!.{256})[^\s:@]+@[^\s:@]+\Z"
DISTINCT = [  # what no two rows of a list have in common
    ("stores", "store_id"),
    ("statuses", "type", "status"),
    ("statuses", "status_id"),
    ("users", "email"),
]
NEW_ID = 10**18  # far below the largest number, so that more ids can follow


def by_language(names: tuple[str, ...]) -> fields.Dict:
    schema = schemas.NewStatusSchema(only=names, partial=True, unknown=RAISE)
    language = fields.String(validate=schemas.known_language)
    return fields.Dict(language, fields.Nested(schema), load_default=dict)


def number(most: int, **options: Any) -> fields.Integer:
    return fields.Integer(strict=True, validate=validate.Range(1, most), **options)


class StatusSchema(schemas.NewStatusSchema):
    """A status in a file, with the limits of the API and the texts in all languages."""

    class Meta:
        unknown = RAISE
        exclude = (*TEXTS, "lang_code")

    status_id = number(NEW_ID)
    status = fields.String(required=True, validate=validate.OneOf([*writing.LETTERS]))
    type = fields.String(required=True, validate=schemas.known_type)
    texts = by_language(TEXTS)
    store_texts = fields.Dict(
        fields.String(), by_language(TEXTS[1:]), load_default=dict
    )


class StoreSchema(Schema):
    store_id = number(models.MAX_ID, required=True)
    name = fields.String(
        required=True, pre_load=schemas.trim, validate=validate.Length(1, 255)
    )


class UserSchema(Schema):
    email = fields.String(required=True, validate=validate.Regexp(EMAIL_ADDRESS))
    store_id = number(models.MAX_ID, load_default=None)
    is_active = fields.Boolean(required=True)
    keys = fields.Dict(
        fields.String(validate=validate.Regexp(r"[0-9a-f]{64}\Z")),
        fields.Date(allow_none=True),
        required=True,
    )


class FileSchema(Schema):
    stores = fields.List(fields.Nested(StoreSchema), required=True)
    statuses = fields.List(fields.Nested(StatusSchema), required=True)
    users = fields.List(fields.Nested(UserSchema), load_default=list)


def parse(content: bytes) -> Json:
    """Return the catalogue in a file, checked as the API checks bodies.

    :raise 400: naming everything that is wrong, with its place in the file
    """
    try:
        raw = bodies.Body("application/json", "", content).decode()
    except BadRequest as error:
        described = str(error.description).replace("body", "file")
        like = described.replace('{"description": "Packed"}', "what export writes")
        raise BadRequest(like) from error
    problems = list(contradictions(raw))
    try:
        file: Json = FileSchema().load(raw)
    except ValidationError as error:
        problems += [f"{spell(p)}: {' '.join(m)}" for p, m in leaves(error.messages)]
    if problems:
        raise BadRequest("\n".join(problems))
    return file


def contradictions(raw: Json) -> Iterator[str]:
    """Name what a file has twice, and the storefronts that it lacks."""
    wrong_shape = suppress(AttributeError, TypeError)  # which the schema reports
    for name, *keys in DISTINCT:
        with wrong_shape:
            rows = [[row.get(key) for key in keys] for row in raw.get(name, ())]
            for n, own in enumerate(rows):
                if None not in own and (first := rows.index(own)) < n:
                    also = f"{' and '.join(keys)} as {name}[{first}]"
                    yield f"{name}[{n}]: It has the same {also}."
    with wrong_shape:
        stores = {str(row.get("store_id")) for row in raw.get("stores", ())}
        for n, row in enumerate(raw.get("statuses", ())):
            for store_id in row.get("store_texts", {}).keys() - stores:
                yield f"statuses[{n}].store_texts.{store_id}: No such store in stores."


def leaves(value: Any, *place: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield all that is in nested objects, each with its place.

    >>> list(leaves({"params": {"color": "#ffffff"}}))
    [(('params', 'color'), '#ffffff')]
    """
    if not isinstance(value, dict):
        yield place, value
        return
    for name, inner in value.items():
        yield from leaves(inner, *place, name)


def spell(place: tuple[Any, ...]) -> str:
    """Return a place in words, such as statuses[3].texts.ru.description."""
    # marshmallow adds the others.
    parts = (f"[{p}]" if isinstance(p, int) else f".{p}" for p in place)
    shown = [p for p in parts if p not in {".key", ".value", "._schema"}]
    return "".join(shown).removeprefix(".")


def read_catalogue(session: AnySession, users: bool = False) -> Json:
    """Return what the database has in the configured types and languages."""
    while True:
        token = session.scalar(models.TOKEN)
        stores = select(Store.store_id, Store.name).order_by(Store.store_id)
        catalogue = {
            "stores": [dict(row) for row in session.execute(stores).mappings()],
            "statuses": read_statuses(session),
            **({"users": read_users(session)} if users else {}),
        }
        if token == session.scalar(models.TOKEN):  # nobody wrote meanwhile
            return catalogue


def read_statuses(session: AnySession) -> list[Json]:
    columns = [getattr(Status, name) for name in FIELDS]
    query = select(*columns).where(Status.type.in_(config.types()))
    rows = session.execute(query).mappings()
    found = {row["status_id"]: {**row, "texts": {}} for row in rows}
    for (status_id, lang_code), own in rows_of(session, StatusText, TEXTS):
        found[status_id]["texts"][lang_code] = own
    for (status_id, store_id, lang_code), own in rows_of(session, StoreText, TEXTS[1:]):
        in_stores = found[status_id].setdefault("store_texts", {})
        in_stores.setdefault(str(store_id), {})[lang_code] = own
    return sorted(found.values(), key=identity)


def rows_of(
    session: AnySession, model: TextModel, names: tuple[str, ...]
) -> Iterator[tuple[Any, Json]]:
    """Yield the key and the texts of each row, in an order that no database has."""
    known = Status.type.in_(config.types()) & model.lang_code.in_(config.languages())
    query = select(model.__table__).join(Status).where(known)
    for row in sorted(session.execute(query)):
        own = {name: getattr(row, name) for name in names}
        if texts := {name: text for name, text in own.items() if text is not None}:
            yield row[: -len(names)], texts


def identity(status: Json) -> tuple[str, str]:
    """Return what a status is recognised by."""
    return status["type"], status["status"]


def read_users(session: AnySession) -> list[Json]:
    keys: dict[int, Json] = defaultdict(dict)
    for key in session.scalars(select(Key).order_by(Key.key_hash)):
        keys[key.user_id][key.key_hash] = key.created_on
    names = ("email", "store_id", "is_active")
    return [
        {name: getattr(user, name) for name in names} | {"keys": keys[user.user_id]}
        for user in session.scalars(select(User).order_by(User.email))
    ]


def left_out(session: AnySession) -> list[str]:
    """Return the types and languages in the database that are not configured."""
    codes = (Status.type, StatusText.lang_code, StoreText.lang_code)
    found = set(session.scalars(union(*(select(code) for code in codes))))
    return sorted(found - {*config.types(), *config.languages()})


def export(session: AnySession, users: bool) -> bytes:
    """Return the content of a file, the same for the same catalogue."""
    catalogue = read_catalogue(session, users)
    text = json.dumps(catalogue, ensure_ascii=False, indent=2, default=str)
    return f"{text}\n".encode()


class Change(NamedTuple):
    """A status as it was and as it will be; None stands for no status."""

    old: Json | None
    new: Json | None

    def lines(self) -> Iterator[str]:
        """Say what changes, field by field."""
        old, new = dict(leaves(self.old or {})), dict(leaves(self.new or {}))
        done = "deleted" if not new else "changed" if old else "created"
        yield f"{done} {' '.join(identity(self.new or self.old or {}))}"
        for place in {**old, **new} if old and new else ():
            if old.get(place) != new.get(place):
                was, will = (repr(flat.get(place))[:70] for flat in (old, new))
                yield f"  {'.'.join(place)}: {was} → {will}"

    def signals(self, status: Status) -> list[Callable[[], None]]:
        """Prepare the signals that requests would send."""
        if not (self.old and self.new):
            signal = host.status_created if self.new else host.status_deleted
            return [host.prepare(signal, status)]
        differ = set(leaves(self.old)) ^ set(leaves(self.new))
        # A text is seen in its language and store, a param everywhere.
        seen = {
            (p[-2], int(p[1]) if len(p) == 4 else None) if "texts" in p[0] else ()
            for p, _ in differ
        }
        return [host.prepare(host.status_updated, status, *key) for key in seen or [()]]


class Plan(NamedTuple):
    """What makes the catalogue that of a file, in order, with *lines* for a person."""

    stores: list[Json]
    changes: list[Change]
    users: list[Json]
    lines: list[str]

    def __bool__(self) -> bool:
        return bool(self.stores or self.changes or self.users)


def make_plan(
    session: AnySession, file: Json, prune: bool = False, users: bool = False
) -> Plan:
    """Compare the database with the *file*; only *prune* deletes what that lacks.

    What a file cannot have stays: texts in other stores, types and languages.
    """
    if users and session.scalar(select(User.user_id).limit(1)):
        raise BadRequest("The database has API users already; leave out --users.")
    now = read_catalogue(session)
    before = {identity(row): row for row in now["statuses"]}
    after = {identity(row): row for row in file["statuses"]}
    stores = [row for row in file["stores"] if row not in now["stores"]]
    new_users = file["users"] if users else []
    lines = [f"store {row['store_id']}: {row['name']!r}" for row in stores]
    lines += [f"user {row['email']}" for row in new_users]
    changes, kept = deletions([before[k] for k in before if k not in after and prune])
    deleted = {change.old["status_id"] for change in changes if change.old}
    taken = set(session.scalars(select(Status.status_id))) - deleted
    problems = []
    for n, (key, row) in enumerate(after.items()):
        old = before.get(key)
        new = overlay(what_stays(old, file, prune), row)
        problems += [f"statuses[{n}].{problem}" for problem in problems_of(old, new)]
        if old:
            new["status_id"] = old["status_id"]
        elif row.get("status_id") in taken:
            name, taken_id = " ".join(key), new.pop("status_id")
            kept.append(f"{name} gets another id: {taken_id} is taken.")
        if old is None or in_full(old) != in_full(new):
            changes.append(Change(old, new))
    if problems:
        raise BadRequest("\n".join(problems))
    # The ids of the file come before those that the database chooses.
    changes.sort(key=lambda c: (c.new is not None, c.new and "status_id" not in c.new))
    lines += kept + [line for change in changes for line in change.lines()]
    lines.append(f"unchanged: {len(before) - sum(c.old is not None for c in changes)}")
    return Plan(stores, changes, new_users, lines)


def deletions(rows: list[Json]) -> tuple[list[Change], list[str]]:
    """Return what deletes these statuses, and a line for each that is kept."""
    reasons = [(row, reason_to_keep(row["status_id"])) for row in rows]
    kept = [f"kept {' '.join(identity(row))}: {why}" for row, why in reasons if why]
    return [Change(row, None) for row, why in reasons if not why], kept


def what_stays(old: Json | None, file: Json, prune: bool) -> Json:
    """Return what the file's status is laid over."""
    if old and not prune:
        return old
    known = {str(row["store_id"]) for row in file["stores"]}
    texts = (old or {}).get("store_texts", {})
    others = {store_id: texts[store_id] for store_id in texts.keys() - known}
    return {"is_default": "N", "store_texts": others}


def problems_of(old: Json | None, new: Json) -> Iterator[str]:
    """Say what no status may be, though the file alone does not show it."""
    if len(new.get("params", {})) > writing.MAX_PARAMS:
        yield f"params: More than {writing.MAX_PARAMS}."
    if not old and not any("description" in own for own in new["texts"].values()):
        yield "texts: A new status has no description."


def overlay(old: Any, new: Any) -> Any:
    """Lay *new* over *old*, however deep; None removes.

    >>> overlay({"a": {"b": "x", "c": "y"}}, {"a": {"c": "z"}})
    {'a': {'b': 'x', 'c': 'z'}}
    """
    if not isinstance(new, dict):
        return new
    laid = {name: overlay(old.get(name, {}), value) for name, value in new.items()}
    return {name: v for name, v in {**old, **laid}.items() if v is not None}


def in_full(status: Json) -> tuple[dict[Any, Any], list[str]]:
    """Return what makes two statuses the same: their fields, and the params' order."""
    return dict(leaves(status)), list(status.get("params", {}))


def reason_to_keep(status_id: int) -> str | None:
    status = models.db.session.get_one(Status, status_id)
    try:
        writing.check_not_default(status)
        host.check_unused(status)
    except HTTPException as error:
        return error.description
    return None


def carry_out(session: AnySession, plan: Plan) -> Iterator[tuple[Change, Status]]:
    """Do what is planned; yield each status once written, or before it is deleted."""
    for row in plan.stores:
        session.merge(Store(**row))
    for change in plan.changes:
        if change.new:
            yield change, write(session, change.new)
        elif change.old:
            status = session.get_one(Status, change.old["status_id"])
            yield change, status
            writing.delete_status(status)
    skip_taken_ids(session)
    for row in plan.users:
        keys = row.pop("keys")
        user = User(**row | {"email": row["email"].lower()})
        session.add(user)
        session.flush()
        session.add_all(
            Key(key_hash=key, created_on=day or null(), user_id=user.user_id)
            for key, day in keys.items()
        )


def write(session: AnySession, new: Json) -> Status:
    """Write a status and all its texts."""
    if "status_id" not in new:
        skip_taken_ids(session)
    status = session.merge(Status(**{name: new.get(name) for name in FIELDS}))
    status.params = new.get("params", {})
    flag_modified(status, "params")  # their order may be all that changes
    session.flush()
    key = {"status_id": status.status_id}
    common = [
        {**key, "lang_code": lang_code, **dict.fromkeys(TEXTS), **own}
        for lang_code, own in new.get("texts", {}).items()
    ]
    in_stores = [
        {**key, "store_id": int(i), "lang_code": c, **dict.fromkeys(TEXTS[1:]), **own}
        for i, in_store in new.get("store_texts", {}).items()
        for c, own in in_store.items()
    ]
    replace_texts(session, StatusText, key, common)
    replace_texts(session, StoreText, key, in_stores)
    return status


def replace_texts(
    session: AnySession, model: TextModel, key: Json, rows: list[Json]
) -> None:
    known = model.lang_code.in_(config.languages())
    session.execute(delete(model).filter_by(**key).where(known))
    if rows:
        session.execute(insert(model), rows)


def skip_taken_ids(session: AnySession) -> None:
    """Let PostgreSQL choose ids after those that were given by hand."""
    if session.get_bind(Status).dialect.name == "postgresql":
        sequence = func.pg_get_serial_sequence(Status.__tablename__, "status_id")
        last = func.pg_sequence_last_value(sequence)
        highest = func.greatest(func.max(Status.status_id), last)
        session.execute(select(func.setval(sequence, highest)))


def stock_data() -> Json:
    """Return the stock data, with texts in each of the configured languages."""
    file = Path(__file__).parent / "stock.json"
    stock: Json = json.loads(file.read_text(encoding="utf-8"))
    for row in stock["statuses"]:
        texts, default = row["texts"], config.languages()[0]
        row["texts"] = {
            code: texts.get(code) or texts.get(default) or texts[ENGLISH]
            for code in config.languages()
        }
    return stock


def fill(connection: Connection, file: Json | None = None) -> bool:
    """Write the *file*, or the stock data, into empty tables; say if it was written.

    A lock that is missing is added, whatever the other tables hold.
    """
    with Session(connection) as session:
        if session.get(CatalogueLock, 1):
            return False
        session.add(CatalogueLock(token=models.new_token()))
        is_empty = not any(
            session.scalar(select(of).limit(1)) for of in (Store, Status)
        )
        if is_empty:
            plan = make_plan(session, file or stock_data())
            deque(carry_out(session, plan), maxlen=0)
        session.flush()
        return is_empty
