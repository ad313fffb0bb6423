"""The catalogue as a file: the stock data, export and apply.

A status is compared and written as a flat mapping: from each place in a file, such as
``("texts", "ru", "description")``, to what stands there.
"""

import json
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from marshmallow import Schema, ValidationError, fields, validate, validates_schema
from sqlalchemy.orm import Session, attributes, scoped_session
from werkzeug.exceptions import BadRequest, HTTPException

from . import bodies, config, database, models, reading, schemas, writing
from .models import TEXTS, Key, Status, StatusText, Store, StoreText, User

Json = dict[str, Any]
Place = tuple[Any, ...]
Flat = dict[Place, Any]
Change = tuple[Flat, Flat]  # a status before and after, empty if there is none
Signal = tuple[Any, ...]  # what writing.prepare takes
AnySession = Session | scoped_session[Any]

STATUS_ID = ("status_id",)
# All that a status has in a file, but for texts in stores.
EMPTY: Json = {name: {} for name in [*Status.__table__.columns.keys(), "texts"]}
# The tables of texts, whose rows are a key and these texts.
TABLES: dict[str, tuple[type[StatusText | StoreText], tuple[str, ...]]] = {
    "texts": (StatusText, TEXTS),
    "store_texts": (StoreText, TEXTS[1:]),
}
FAST = {"dml_strategy": "raw"}  # plain rows instead of objects
# HTTP Basic separates the name from the key by a colon.
EMAIL_ADDRESS = r"(?!.{256})[^\s:@]+@[^\s:@]+\Z"
STORE_ID = validate.Range(1, models.MAX_ID)
NEW_ID = validate.Range(1, 10**18)  # far below the largest: more ids follow
DISTINCT = [  # what no two rows of a list have in common
    ("stores", "store_id"),
    ("statuses", "type", "status"),
    ("statuses", "status_id"),
    ("users", "email"),
]


def by_language(names: tuple[str, ...]) -> fields.Dict:
    schema = schemas.NewStatusSchema(only=names, partial=True, unknown="raise")
    language = fields.String(validate=schemas.known_language)
    return fields.Dict(language, fields.Nested(schema))


class StatusSchema(schemas.NewStatusSchema):
    """A status in a file, with the limits of the API and the texts in all languages."""

    class Meta:
        unknown = "raise"
        exclude = (*TEXTS, "lang_code")

    status_id = fields.Integer(strict=True, validate=NEW_ID)
    status = fields.String(required=True, validate=validate.OneOf([*writing.LETTERS]))
    type = fields.String(required=True, validate=schemas.known_type)
    texts = by_language(TEXTS)
    store_texts = fields.Dict(
        fields.String(
            validate=validate.Regexp(rf"{reading.ID.pattern}\Z"), post_load=int
        ),
        by_language(TEXTS[1:]),
    )


class StoreSchema(Schema):
    store_id = fields.Integer(strict=True, required=True, validate=STORE_ID)
    name = fields.String(
        required=True, pre_load=schemas.trim, validate=validate.Length(1, 255)
    )


class UserSchema(Schema):
    email = fields.String(
        required=True, validate=validate.Regexp(EMAIL_ADDRESS), post_load=str.lower
    )
    store_id = fields.Integer(strict=True, load_default=None, validate=STORE_ID)
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

    @validates_schema(skip_on_field_errors=False)
    def check_rows(self, file: Json, **_: Any) -> None:
        """Refuse what a file has twice, and storefronts that it lacks."""
        wrong: Flat = {}
        for name, *keys in DISTINCT:
            firsts: dict[Place, int] = {}
            for n, own in enumerate(file.get(name, ())):
                row = tuple(map(own.get, keys))
                if None not in row and (first := firsts.setdefault(row, n)) < n:
                    same = f"{name}[{first}] has the same {' and '.join(keys)}."
                    wrong[name, n, keys[-1]] = [same]
        stores = {row.get("store_id") for row in file.get("stores", ())}
        for n, row in enumerate(file.get("statuses", ())):
            for store_id in row.get("store_texts", {}).keys() - stores:
                place = ("statuses", n, "store_texts", str(store_id))
                wrong[place] = ["No such store in stores."]
        if wrong:
            raise ValidationError(nest(wrong))


def parse(content: bytes) -> Json:
    """Return the catalogue in a file, checked as the API checks bodies.

    :raise 400: naming everything that is wrong, with its place in the file
    """
    try:
        raw = bodies.Body("application/json", "", content).decode()
        file: Json = FileSchema().load(raw)
    except BadRequest as error:
        about = str(error.description).replace("body", "file")
        example = '{"description": "Packed"}'
        raise BadRequest(about.replace(example, "what export writes")) from error
    except ValidationError as error:
        raise refusal(flatten(error.messages_dict)) from error
    return file


def refusal(problems: Flat) -> BadRequest:
    """Return an error with each of the *problems*, and its place in the file.

    >>> refusal({("statuses", 3, "texts", "ru"): ["Unknown."]}).description
    'statuses[3].texts.ru: Unknown.'
    """
    lines = []
    for place, messages in problems.items():
        # marshmallow adds these.
        parts = [part for part in place if part not in {"key", "value", "_schema"}]
        shown = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in parts)
        lines.append(f"{shown.removeprefix('.')}: {' '.join(messages)}")
    return BadRequest("\n".join(lines))


def flatten(nested: Mapping[Any, Any], *outer: Any) -> Flat:
    """Return what is in nested mappings, each value by its place.

    >>> flatten({"params": {"color": "#ffffff"}})
    {('params', 'color'): '#ffffff'}
    """
    flat: Flat = {}
    for name, value in nested.items():
        inner = isinstance(value, dict)
        flat |= flatten(value, *outer, name) if inner else {(*outer, name): value}
    return flat


def nest(flat: Flat) -> Json:
    """Do the reverse of *flatten*."""
    nested: Json = {}
    for (*outer, name), value in flat.items():
        inner = nested
        for part in outer:
            inner = inner.setdefault(part, {})
        inner[name] = value
    return nested


def export(session: AnySession, users: bool) -> bytes:
    """Return the content of a file, the same for the same catalogue."""
    while True:
        token = session.scalar(database.TOKEN)
        statuses = [EMPTY | nest(status) for status in read_statuses(session).values()]
        file: Json = {"stores": read_stores(session), "statuses": statuses}
        if users:
            file["users"] = read_users(session)
        if token == session.scalar(database.TOKEN):  # nobody wrote meanwhile
            text = json.dumps(file, ensure_ascii=False, indent=2, default=str)
            return f"{text}\n".encode()


def read_stores(session: AnySession) -> list[Json]:
    query = sa.select(Store.store_id, Store.name).order_by(Store.store_id)
    return [dict(row) for row in session.execute(query).mappings()]


def read_statuses(session: AnySession) -> dict[Place, Flat]:
    """Return the statuses of the configured types, in the configured languages.

    They are sorted here, since every database has an order of texts of its own.
    """
    of_type = Status.type.in_(config.types())
    rows = session.execute(sa.select(Status.__table__).where(of_type)).mappings()
    found = {row["status_id"]: flatten(row) for row in rows}
    for table, (model, names) in TABLES.items():
        in_language = model.lang_code.in_(config.languages())
        query = sa.select(model.__table__).join(Status).where(of_type, in_language)
        for row in sorted(session.execute(query)):
            status_id, *key = row[: -len(names)]
            for name in names:
                text = getattr(row, name)
                # A status that was created meanwhile has texts already.
                if text is not None and status_id in found:
                    found[status_id][table, *key, name] = text
    return dict(sorted((identity(status), status) for status in found.values()))


def identity(status: Flat) -> Place:
    """Return what a status is recognised by: its type and letter."""
    return status[("type",)], status[("status",)]


def read_users(session: AnySession) -> list[Json]:
    keys = Key.user_id == User.user_id
    columns = (User.email, User.store_id, User.is_active, Key.key_hash, Key.created_on)
    users: dict[str, Json] = {}
    for row in sorted(session.execute(sa.select(*columns).outerjoin(Key, keys))):
        own = {"store_id": row.store_id, "is_active": row.is_active, "keys": {}}
        user = users.setdefault(row.email, {"email": row.email, **own})
        if row.key_hash:
            user["keys"][row.key_hash] = row.created_on
    return list(users.values())


def left_out(session: AnySession) -> list[str]:
    """Return the types and languages in the database that are not configured."""
    codes = (Status.type, StatusText.lang_code, StoreText.lang_code)
    found = session.scalars(sa.union(*(sa.select(code) for code in codes)))
    return sorted({*found} - {*config.types(), *config.languages()})


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
    if users and session.scalar(sa.select(User.user_id).limit(1)):
        raise BadRequest("The database has API users already; leave out --users.")
    known = read_stores(session)
    new_stores = [row for row in file["stores"] if row not in known]
    new_users = file["users"] if users else []
    lines = [f"store {row['store_id']}: {row['name']!r}" for row in new_stores]
    lines += [f"user {row['email']}" for row in new_users]

    before = read_statuses(session)
    after = {identity(status): status for status in map(flatten, file["statuses"])}
    changes: list[Change] = []
    for key in before if prune else ():
        if key not in after:
            if reason := reason_to_keep(session, before[key]):
                lines.append(f"kept {' '.join(key)}: {reason}")
            else:
                changes.append((before[key], {}))
    taken = set(session.scalars(sa.select(Status.status_id)))
    taken -= {old[STATUS_ID] for old, _ in changes}

    in_file = {row["store_id"] for row in file["stores"]}
    wrong: Flat = {}
    for n, (key, own) in enumerate(after.items()):
        old = before.get(key, {})
        new = overlay(old, own, in_file if prune else None)
        if not old and ("texts", "description") not in {(p[0], p[-1]) for p in new}:
            wrong["statuses", n, "texts"] = ["A new status has no description."]
        if len(params_of(new)) > writing.MAX_PARAMS:
            wrong["statuses", n, "params"] = [f"More than {writing.MAX_PARAMS}."]
        if not old and new.get(STATUS_ID) in taken:
            taken_id = new.pop(STATUS_ID)
            lines.append(f"{' '.join(key)} gets another id: {taken_id} is taken.")
        if old != new or [*params_of(old)] != [*params_of(new)]:  # their order
            changes.append((old, new))
    if wrong:
        raise refusal(wrong)
    # The ids of the file come before those that the database chooses.
    changes.sort(key=lambda change: bool(change[1]) and STATUS_ID not in change[1])
    lines += [line for change in changes for line in describe(*change)]
    lines.append(f"unchanged: {len(before) - sum(bool(old) for old, _ in changes)}")
    return Plan(new_stores, changes, new_users, lines)


def overlay(old: Flat, own: Flat, stores: Container[int] | None) -> Flat:
    """Lay a status of a file over the *old* one; None removes.

    With the *stores* of the file, nothing stays but texts in other stores.
    """
    stays = {
        place: value
        for place, value in old.items()
        if stores is None or (place[0] == "store_texts" and place[1] not in stores)
    }
    laid = {("is_default",): "N"} | stays | own
    if old:
        laid[STATUS_ID] = old[STATUS_ID]
    return {place: value for place, value in laid.items() if value is not None}


def params_of(status: Flat) -> dict[str, str]:
    return {place[1]: value for place, value in status.items() if place[0] == "params"}


def differences(old: Flat, new: Flat) -> list[Place]:
    return [place for place in old | new if old.get(place) != new.get(place)]


def describe(old: Flat, new: Flat) -> Iterator[str]:
    """Say what changes, field by field."""
    done = "deleted" if not new else "changed" if old else "created"
    yield f"{done} {' '.join(identity(new or old))}"
    for place in differences(old, new) if old and new else ():
        was, will = (repr(status.get(place))[:70] for status in (old, new))
        yield f"  {'.'.join(map(str, place))}: {was} → {will}"


def reason_to_keep(session: AnySession, old: Flat) -> str | None:
    """Say why a status cannot be deleted, if so.

    It is deleted and rolled back: tables of a shop may refer to it.
    """
    status = session.get_one(Status, old[STATUS_ID])
    attempt = session.begin_nested()
    try:
        writing.check_deletable(status)
        writing.delete_status(status, [])
    except HTTPException as error:
        return error.description
    finally:
        attempt.rollback()
    return None


def carry_out(session: AnySession, plan: Plan) -> Iterator[list[Signal]]:
    """Do what is planned; yield the signals of each change, before one that deletes."""
    for row in plan.stores:
        session.merge(Store(**row))
    for old, new in plan.changes:
        if new:
            status = write(session, old, new)
            # Between the name of a table and that of a text: the store, the language.
            views = {place[1:-1]: None for place in differences(old, new)} or [()]
            updated = [
                (writing.status_updated, status, None, *view[::-1]) for view in views
            ]
            yield updated if old else [(writing.status_created, status, None)]
        else:
            status = session.get_one(Status, old[STATUS_ID])
            yield [(writing.status_deleted, status, None)]
            writing.delete_status(status, [])
    for row in plan.users:
        user = User(**{name: row[name] for name in row if name != "keys"})
        session.add(user)
        session.flush()
        session.add_all(
            Key(key_hash=key_hash, created_on=day or sa.null(), user_id=user.user_id)
            for key_hash, day in row["keys"].items()
        )


def write(session: AnySession, old: Flat, new: Flat) -> Status:
    """Write a status and all its texts."""
    own = {place[0]: value for place, value in new.items() if len(place) == 1}
    status = session.merge(Status(**own, params=params_of(new)))
    attributes.flag_modified(status, "params")  # their order may be all that changes
    session.flush()
    for table, (model, names) in TABLES.items():
        known = model.lang_code.in_(config.languages())
        of_status = model.status_id == status.status_id
        session.execute(sa.delete(model).where(of_status, known))
        columns = model.__table__.columns.keys()
        rows = []
        for key in dict.fromkeys(place[:-1] for place in new if place[0] == table):
            texts = [new.get((*key, name)) for name in names]
            row = (status.status_id, *key[1:], *texts)
            rows.append(dict(zip(columns, row, strict=True)))
        if rows:
            session.execute(sa.insert(model), rows, execution_options=FAST)
    if not old and STATUS_ID in new:
        skip_taken_ids(session)
    return status


def skip_taken_ids(session: AnySession) -> None:
    """Let PostgreSQL choose ids after those that were given by hand."""
    if session.get_bind(Status).dialect.name == "postgresql":
        sequence = sa.func.pg_get_serial_sequence(Status.__tablename__, "status_id")
        last = sa.func.pg_sequence_last_value(sequence)
        highest = sa.func.greatest(last, sa.func.max(Status.status_id))
        session.execute(sa.select(sa.func.setval(sequence, highest)))


def stock_data() -> Json:
    """Return the stock data, with texts in each of the configured languages."""
    file = Path(__file__).parent / "stock.json"
    stock: Json = json.loads(file.read_text(encoding="utf-8"))
    for row in stock["statuses"]:
        texts, default = row["texts"], config.languages()[0]
        row["texts"] = {
            code: texts.get(code) or texts.get(default) or texts["en"]
            for code in config.languages()
        }
    return stock


def fill(connection: sa.Connection, file: Json | None = None) -> bool:
    """Write the *file*, or the stock data, into empty tables; say if it was written.

    A lock that is missing is added, whatever the other tables hold.
    """
    with Session(connection) as session:
        if session.get(models.CatalogueLock, 1):
            return False
        session.add(models.CatalogueLock())
        is_empty = not (read_stores(session) or session.scalar(sa.select(Status)))
        if is_empty:
            list(carry_out(session, make_plan(session, file or stock_data())))
        session.flush()
        return is_empty
