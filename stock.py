"""The catalogue as a file: the stock data, export and apply.

To compare and to write it, a status is flat: a mapping from the places in a file, such
as ``("texts", "ru", "description")``, to what stands there.
"""

import json
from collections import deque
from collections.abc import Callable, Container, Iterator, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from marshmallow import (
    RAISE,
    Schema,
    ValidationError,
    fields,
    validate,
    validates_schema,
)
from sqlalchemy.orm import Session, scoped_session
from sqlalchemy.orm.attributes import flag_modified
from werkzeug.exceptions import BadRequest, HTTPException

from . import bodies, config, host, models, schemas, writing
from .models import TEXTS, Key, Status, StatusText, Store, StoreText, User

Json = dict[str, Any]
Place = tuple[Any, ...]
Flat = dict[Place, Any]
AnySession = Session | scoped_session[Any]

ENGLISH = "en"
STATUS_ID = ("status_id",)
# The tables of texts by their names in a file; a row is a key and these texts.
SECTIONS = {"texts": (StatusText, TEXTS), "store_texts": (StoreText, TEXTS[1:])}
# HTTP Basic separates the name from the key by a colon.
EMAIL_ADDRESS = r"(?!.{256})[^\s:@]+@[^\s:@]+\Z"
MAX_NEW_ID = 10**18  # far below the largest number, so that more ids can follow
DISTINCT = [  # what no two rows of a list have in common
    ("stores", "store_id"),
    ("statuses", "type", "status"),
    ("statuses", "status_id"),
    ("users", "email"),
]


def by_language(names: tuple[str, ...]) -> fields.Dict:
    schema = schemas.NewStatusSchema(only=names, partial=True, unknown=RAISE)
    language = fields.String(validate=schemas.known_language)
    return fields.Dict(language, fields.Nested(schema))


def number(most: int, **options: Any) -> fields.Integer:
    return fields.Integer(strict=True, validate=validate.Range(1, most), **options)


class StatusSchema(schemas.NewStatusSchema):
    """A status in a file, with the limits of the API and the texts in all languages."""

    class Meta:
        unknown = RAISE
        exclude = (*TEXTS, "lang_code")

    status_id = number(MAX_NEW_ID)
    status = fields.String(required=True, validate=validate.OneOf([*writing.LETTERS]))
    type = fields.String(required=True, validate=schemas.known_type)
    texts = by_language(TEXTS)
    store_texts = fields.Dict(
        fields.String(
            validate=validate.Regexp(models.ID.pattern + r"\Z"), post_load=int
        ),
        by_language(TEXTS[1:]),
    )


class StoreSchema(Schema):
    store_id = number(models.MAX_ID, required=True)
    name = fields.String(
        required=True, pre_load=schemas.trim, validate=validate.Length(1, 255)
    )


class UserSchema(Schema):
    email = fields.String(
        required=True, validate=validate.Regexp(EMAIL_ADDRESS), post_load=str.lower
    )
    store_id = number(models.MAX_ID, load_default=None)
    is_active = fields.Boolean(required=True)
    keys = fields.Dict(
        fields.String(validate=validate.Regexp(r"[0-9a-f]{64}\Z")),
        fields.Date(allow_none=True),
        required=True,
    )


class FileSchema(Schema):
    """A whole file."""

    stores = fields.List(fields.Nested(StoreSchema), required=True)
    statuses = fields.List(fields.Nested(StatusSchema), required=True)
    users = fields.List(fields.Nested(UserSchema), load_default=list)

    @validates_schema(skip_on_field_errors=False)
    def check_distinct(self, file: Json, **_: Any) -> None:
        wrong: dict[str, dict[int, list[str]]] = {}
        for name, *keys in DISTINCT:
            first: dict[Place, int] = {}
            for n, row in enumerate(file.get(name, ())):
                own = tuple(row.get(key) for key in keys)
                if None not in own and first.setdefault(own, n) < n:
                    problem = f"the same {' and '.join(keys)} as {name}[{first[own]}]"
                    of_row = wrong.setdefault(name, {}).setdefault(n, [])
                    of_row.append(f"It has {problem}.")
        if wrong:
            raise ValidationError(wrong)

    @validates_schema(skip_on_field_errors=False)
    def check_stores(self, file: Json, **_: Any) -> None:
        stores = {row.get("store_id") for row in file.get("stores", ())}
        problem = ["No such store in stores."]
        wrong = {
            n: {"store_texts": dict.fromkeys(map(str, lacking), problem)}
            for n, row in enumerate(file.get("statuses", ()))
            if (lacking := row.get("store_texts", {}).keys() - stores)
        }
        if wrong:
            raise ValidationError({"statuses": wrong})


def parse(content: bytes) -> Json:
    """Return the catalogue in a file, checked as the API checks bodies.

    :raise 400: naming everything that is wrong, with its place in the file
    """
    try:
        file: Json = FileSchema().load(
            bodies.Body("application/json", "", content).decode()
        )
    except BadRequest as error:
        described = str(error.description).replace("body", "file")
        example = '{"description": "Packed"}'
        raise BadRequest(described.replace(example, "what export writes")) from error
    except ValidationError as error:
        raise wrong_file(error.messages_dict) from error
    return file


def wrong_file(messages: Mapping[Any, Any]) -> BadRequest:
    """Make an error of nested *messages*, each with its place in the file.

    >>> wrong_file({"statuses": {3: {"type": ["Unknown."]}}}).description
    'statuses[3].type: Unknown.'
    """
    lines = []
    for place, problems in flatten(messages).items():
        # marshmallow puts what is wrong in a mapping below these.
        own = [part for part in place if part not in {"key", "value", "_schema"}]
        parts = [f"[{p}]" if isinstance(p, int) else f".{p}" for p in own]
        lines.append(f"{''.join(parts).removeprefix('.')}: {' '.join(problems)}")
    return BadRequest("\n".join(lines))


def flatten(nested: Mapping[Any, Any], *outer: Any) -> Flat:
    """Return all that is in nested mappings by its place.

    >>> flatten({"params": {"color": "#ffffff"}})
    {('params', 'color'): '#ffffff'}
    """
    flat: Flat = {}
    for name, value in nested.items():
        if isinstance(value, dict):
            flat |= flatten(value, *outer, name)
        else:
            flat[*outer, name] = value
    return flat


def nest(status: Flat) -> Json:
    """Return a flat status as a file has it."""
    nested: Json = dict.fromkeys(("status_id", "status", "type", "is_default"))
    nested |= {"params": {}, "texts": {}}
    for (*outer, name), value in status.items():
        inner = nested
        for part in outer:
            inner = inner.setdefault(part, {})
        inner[name] = value
    return nested


def export(session: AnySession, users: bool) -> bytes:
    """Return the content of a file, the same for the same catalogue."""
    while True:
        token = session.scalar(models.TOKEN)
        statuses = map(nest, read_statuses(session))
        file: Json = {"stores": read_stores(session), "statuses": list(statuses)}
        if users:
            file["users"] = read_users(session)
        if token == session.scalar(models.TOKEN):  # nobody wrote meanwhile
            text = json.dumps(file, ensure_ascii=False, indent=2, default=str)
            return f"{text}\n".encode()


def read_stores(session: AnySession) -> list[Json]:
    query = sa.select(Store.store_id, Store.name).order_by(Store.store_id)
    return [dict(row) for row in session.execute(query).mappings()]


def read_statuses(session: AnySession) -> list[Flat]:
    """Return what the database has in the configured types and languages.

    It is sorted here, since each database has an order of texts of its own.
    """
    of_type = Status.type.in_(config.types())
    rows = session.execute(sa.select(Status.__table__).where(of_type)).mappings()
    found = {row["status_id"]: flatten(row) for row in rows}
    for section, (model, names) in SECTIONS.items():
        in_language = model.lang_code.in_(config.languages())
        query = sa.select(model.__table__).join(Status).where(of_type, in_language)
        for row in sorted(session.execute(query)):
            status_id, *key = row[: -len(names)]
            for name in names:
                if (text := getattr(row, name)) is not None:
                    found[status_id][section, *key, name] = text
    return sorted(found.values(), key=identity)


def identity(status: Flat) -> tuple[str, str]:
    """Return what a status is recognised by."""
    return status[("type",)], status[("status",)]


def read_users(session: AnySession) -> list[Json]:
    columns = (User.user_id, User.email, User.store_id, User.is_active)
    rows = session.execute(sa.select(*columns)).mappings()
    users: dict[int, Json] = {row["user_id"]: {**row, "keys": {}} for row in rows}
    for key in session.scalars(sa.select(Key).order_by(Key.key_hash)):
        users[key.user_id]["keys"][key.key_hash] = key.created_on
    for user in users.values():
        del user["user_id"]
    return sorted(users.values(), key=itemgetter("email"))


def left_out(session: AnySession) -> list[str]:
    """Return the types and languages in the database that are not configured."""
    codes = (Status.type, StatusText.lang_code, StoreText.lang_code)
    found = set(session.scalars(sa.union(*(sa.select(code) for code in codes))))
    return sorted(found - {*config.types(), *config.languages()})


class Change(NamedTuple):
    """A status as it was and as it will be; an empty one stands for none."""

    old: Flat
    new: Flat

    def places(self) -> list[Place]:
        """Return where the two differ."""
        places = self.old | self.new
        return [place for place in places if self.old.get(place) != self.new.get(place)]

    def __bool__(self) -> bool:
        """Say whether the two differ, be it in the order of params alone."""
        old, new = ([p for p in flat if p[0] == "params"] for flat in self)
        return bool(self.places()) or old != new

    def problems(self) -> dict[str, list[str]]:
        """Name what no status may be, though the file alone does not show it."""
        found = {}
        texts = {place[-1] for place in self.new if place[0] == "texts"}
        if not self.old and "description" not in texts:
            found["texts"] = ["A new status has no description."]
        if sum(place[0] == "params" for place in self.new) > writing.MAX_PARAMS:
            found["params"] = [f"More than {writing.MAX_PARAMS}."]
        return found

    def lines(self) -> Iterator[str]:
        """Say what changes, field by field."""
        done = "deleted" if not self.new else "changed" if self.old else "created"
        yield f"{done} {' '.join(identity(self.new or self.old))}"
        for place in self.places() if self.old and self.new else ():
            was, will = (repr(flat.get(place))[:70] for flat in self)
            yield f"  {'.'.join(map(str, place))}: {was} → {will}"

    def signals(self, status: Status) -> list[Callable[[], None]]:
        """Prepare the signals that requests would send."""
        if not (self.old and self.new):
            signal = host.status_created if self.new else host.status_deleted
            return [host.prepare(signal, status)]
        # A text is seen in its language and store, anything else everywhere.
        views: list[tuple[Any, Any]] = [
            (place[-2], place[1] if place[0] == "store_texts" else None)
            if place[0] in SECTIONS
            else (None, None)
            for place in self.places()
        ]
        updated = host.status_updated
        each = dict.fromkeys(views or [(None, None)])
        return [host.prepare(updated, status, *view) for view in each]


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
    new_users = file["users"] if users else []
    known_stores = read_stores(session)
    stores = [row for row in file["stores"] if row not in known_stores]
    before = {identity(status): status for status in read_statuses(session)}
    after = {identity(status): status for status in map(flatten, file["statuses"])}

    lacking = [key for key in before if prune and key not in after]
    reasons = {key: reason_to_keep(session, before[key]) for key in lacking}
    changes = [Change(before[key], {}) for key in lacking if not reasons[key]]

    in_file = {row["store_id"] for row in file["stores"]} if prune else None
    olds = [before.get(key, {}) for key in after]
    written = [
        Change(old, overlay(old, own, in_file))
        for old, own in zip(olds, after.values(), strict=True)
    ]
    if wrong := {n: p for n, change in enumerate(written) if (p := change.problems())}:
        raise wrong_file({"statuses": wrong})

    taken = set(session.scalars(sa.select(Status.status_id)))
    taken -= {change.old[STATUS_ID] for change in changes}
    moved = [c for c in written if not c.old and c.new.get(STATUS_ID) in taken]
    ids = {identity(change.new): change.new.pop(STATUS_ID) for change in moved}
    # The ids of the file come before those that the database chooses.
    changes += sorted(filter(None, written), key=lambda c: STATUS_ID not in c.new)
    lines = [
        *(f"store {row['store_id']}: {row['name']!r}" for row in stores),
        *(f"user {row['email']}" for row in new_users),
        *(f"kept {' '.join(key)}: {why}" for key, why in reasons.items() if why),
        *(f"{' '.join(k)} gets another id: {n} is taken." for k, n in ids.items()),
        *(line for change in changes for line in change.lines()),
        f"unchanged: {len(before) - sum(bool(c.old) for c in changes)}",
    ]
    return Plan(stores, changes, new_users, lines)


def overlay(old: Flat, own: Flat, stores: Container[int] | None) -> Flat:
    """Lay a status of a file over the *old* one, where None removes.

    If the *stores* of the file are given, nothing stays but texts in other stores.
    """
    stays = {
        place: value
        for place, value in old.items()
        if stores is None or (place[0] == "store_texts" and place[1] not in stores)
    }
    new = {("is_default",): "N"} | stays | own
    if old:
        new[STATUS_ID] = old[STATUS_ID]
    return {place: value for place, value in new.items() if value is not None}


def reason_to_keep(session: AnySession, old: Flat) -> str | None:
    """Say why a status cannot be deleted, if so.

    It is deleted and rolled back, since tables of a shop may refer to it.
    """
    status = session.get_one(Status, old[STATUS_ID])
    attempt = session.begin_nested()
    try:
        writing.check_not_default(status)
        host.check_unused(status)
        writing.delete_status(status)
    except HTTPException as error:
        return error.description
    finally:
        attempt.rollback()
    return None


def carry_out(session: AnySession, plan: Plan) -> Iterator[tuple[Change, Status]]:
    """Do what is planned; yield each status once written, or before it is deleted."""
    for row in plan.stores:
        session.merge(Store(**row))
    for change in plan.changes:
        if change.new:
            yield change, write(session, change)
        else:
            status = session.get_one(Status, change.old[STATUS_ID])
            yield change, status
            writing.delete_status(status)
    for row in plan.users:
        keys = row.pop("keys")
        user = User(**row)
        session.add(user)
        session.flush()
        session.add_all(
            Key(key_hash=key, created_on=day or sa.null(), user_id=user.user_id)
            for key, day in keys.items()
        )


def write(session: AnySession, change: Change) -> Status:
    """Write a status and all its texts."""
    own = {name: v for name, v in nest(change.new).items() if name not in SECTIONS}
    status = session.merge(Status(**own))
    flag_modified(status, "params")  # their order may be all that changes
    session.flush()
    for section, (model, names) in SECTIONS.items():
        columns = model.__table__.columns.keys()
        known = model.lang_code.in_(config.languages())
        of_status = model.status_id == status.status_id
        session.execute(sa.delete(model).where(of_status, known))
        keys = dict.fromkeys(p[:-1] for p in change.new if p[0] == section)
        rows = []
        for key in keys:
            texts = [change.new.get((*key, name)) for name in names]
            row = (status.status_id, *key[1:], *texts)
            rows.append(dict(zip(columns, row, strict=True)))
        if rows:
            session.execute(sa.insert(model.__table__), rows)
    if not change.old and STATUS_ID in change.new:
        skip_taken_ids(session)
    return status


def skip_taken_ids(session: AnySession) -> None:
    """Let PostgreSQL choose ids after those that were given by hand."""
    if session.get_bind(Status).dialect.name == "postgresql":
        sequence = sa.func.pg_get_serial_sequence(Status.__tablename__, "status_id")
        last = sa.func.pg_sequence_last_value(sequence)
        highest = sa.func.greatest(sa.func.max(Status.status_id), last)
        session.execute(sa.select(sa.func.setval(sequence, highest)))


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


def fill(connection: sa.Connection, file: Json | None = None) -> bool:
    """Write the *file*, or the stock data, into empty tables; say if it was written.

    A lock that is missing is added, whatever the other tables hold.
    """
    with Session(connection) as session:
        if session.get(models.CatalogueLock, 1):
            return False
        session.add(models.CatalogueLock(token=models.new_token()))
        is_empty = not any(
            session.scalar(sa.select(of).limit(1)) for of in (Store, Status)
        )
        if is_empty:
            plan = make_plan(session, file or stock_data())
            deque(carry_out(session, plan), maxlen=0)
        session.flush()
        return is_empty
