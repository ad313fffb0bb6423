"""The statuses as a file: the default statuses, export and apply."""

import json
import math
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple, cast

import sqlalchemy as sa
from marshmallow import Schema, ValidationError, fields, validates_schema
from marshmallow.validate import Length, Range, Regexp
from sqlalchemy.orm import Session, attributes
from werkzeug.exceptions import BadRequest, HTTPException

from . import bodies, config, models, reading, schemas, writing
from .database import db, read_transaction, savepoint
from .models import (
    TEXTS,
    FreedLetter,
    Key,
    Status,
    StatusText,
    Store,
    StoreText,
    User,
)
from .writing import AnySession

Json = dict[str, Any]
Place = tuple[Any, ...]  # such as ("texts", "ru", "description")

# What a status has at least.
EMPTY: Json = {
    "is_default": "N",
    "position": 0,
    "params": {},
    "texts": {},
    "store_texts": {},
}
# HTTP Basic separates the name from the key by a colon.
EMAIL_ADDRESS = r"(?!.{256})[^\s:@]+@[^\s:@]+\Z"
STORE_ID = Range(1, models.MAX_ID)
NEW_ID = Range(1, 10**18)  # far below the largest: more ids follow
DISTINCT = [  # what no two rows of a list have in common
    ("stores", "store_id"),
    ("statuses", "type", "status"),
    ("statuses", "status_id"),
    ("users", "email"),
    ("freed_letters", "type", "status"),
]
SEQUENCE = sa.func.pg_get_serial_sequence(Status.__tablename__, "status_id")
SQLITE_SEQUENCE = sa.table("sqlite_sequence", sa.column("name"), sa.column("seq"))


class Object(schemas.EmptyArrayIsObject, fields.Dict):
    pass


class NestedObject(schemas.EmptyArrayIsObject, fields.Nested):
    pass


class WholeNumber(fields.Integer):
    """A number without quotes and fraction."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(value, schemas.Number):
            with suppress(ValueError):
                value = int(str(value))
        return super()._deserialize(value, *args, **kwargs)


class StoreId(fields.String):
    """The id of a storefront, which is text where it is the name of a member."""

    def deserialize(self, *args: Any, **kwargs: Any) -> Any:
        return int(super().deserialize(*args, **kwargs))


def texts_schema(names: tuple[str, ...]) -> Schema:
    return schemas.NewStatusSchema(only=names, partial=True, unknown="raise")


def by_language(names: tuple[str, ...]) -> Object:
    language = fields.String(validate=schemas.known_language)
    return Object(language, NestedObject(texts_schema(names)))


class StatusSchema(schemas.NewStatusSchema):
    """A status in a file, with the limits of the API and the texts in all languages."""

    class Meta:
        unknown = "raise"
        exclude = (*TEXTS, "lang_code")

    status_id = WholeNumber(strict=True, validate=NEW_ID)
    status = fields.String(required=True, validate=schemas.LETTER)
    type = schemas.Code(required=True, validate=schemas.known_type)
    texts = by_language(TEXTS)
    params = schemas.Params(error_messages={"invalid": "Must be an object."})
    store_texts = Object(
        StoreId(validate=Regexp(rf"{reading.ID.pattern}\Z")),
        by_language(TEXTS[1:]),
    )


class Email(fields.String):
    """The name of an API user, in lower case."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        email = super()._deserialize(value, *args, **kwargs).lower()
        if not (re.match(EMAIL_ADDRESS, email) and email.isprintable()):
            raise ValidationError("Not an e-mail address.")
        return email


class StoreSchema(Schema):
    store_id = WholeNumber(strict=True, required=True, validate=STORE_ID)
    name = schemas.TrimmedText(required=True, validate=Length(1, 255))


class UserSchema(Schema):
    email = Email(required=True)
    store_id = WholeNumber(strict=True, load_default=None, validate=STORE_ID)
    read_only = fields.Boolean(load_default=False)
    is_active = fields.Boolean(required=True)
    keys = Object(
        fields.String(validate=Regexp(r"[0-9a-f]{64}\Z")),
        fields.Date(allow_none=True),
        required=True,
    )


class FreedLetterSchema(Schema):
    type = fields.String(required=True, validate=schemas.known_type)
    status = fields.String(required=True, validate=schemas.LETTER)
    freed_at = fields.NaiveDateTime(format="%Y-%m-%dT%H:%M:%S.%fZ", required=True)


class FileSchema(Schema):
    stores = fields.List(fields.Nested(StoreSchema), required=True)
    statuses = fields.List(fields.Nested(StatusSchema), required=True)
    users = fields.List(fields.Nested(UserSchema), load_default=list)
    freed_letters = fields.List(fields.Nested(FreedLetterSchema), load_default=list)
    last_status_id = WholeNumber(
        strict=True, load_default=0, validate=Range(0, NEW_ID.max)
    )

    @validates_schema(skip_on_field_errors=False)
    def check_rows(self, file: Json, **_: Any) -> None:
        """Refuse what a file has twice, and storefronts that it lacks."""
        wrong = {}
        for name, *keys in DISTINCT:
            firsts: dict[Place, int] = {}
            for n, row in enumerate(file.get(name, ())):
                own = tuple(map(row.get, keys))
                if None not in own and (first := firsts.setdefault(own, n)) < n:
                    same = f"{name}[{first}] has the same {' and '.join(keys)}."
                    wrong[f"{name}[{n}].{keys[-1]}"] = [same]
        stores = {None, *(row.get("store_id") for row in file.get("stores", ()))}
        for n, row in enumerate(file.get("statuses", ())):
            for store_id in row.get("store_texts", {}).keys() - stores:
                place = f"statuses[{n}].store_texts.{store_id}"
                wrong[place] = ["No such store in stores."]
        owners: dict[str, int] = {}
        for n, row in enumerate(file.get("users", ())):
            if row.get("store_id") not in stores:
                wrong[f"users[{n}].store_id"] = ["No such store in stores."]
            for key_hash in row.get("keys", ()):
                if (first := owners.setdefault(key_hash, n)) < n:
                    wrong[f"users[{n}].keys.{key_hash}"] = [
                        f"users[{first}] has the same key."
                    ]
        if wrong:
            raise ValidationError(wrong)


# For what is taken piece by piece; its types and languages need not be configured.
STORE, STATUS = StoreSchema(), StatusSchema(exclude=["type"])
COMMON_TEXTS, STORE_TEXTS = texts_schema(TEXTS), texts_schema(TEXTS[1:])


def parse(content: bytes) -> Json:
    """Return the statuses in a file, checked as the API checks bodies.

    :raise 400: naming everything that is wrong, with its place in the file
    """
    try:
        raw = bodies.decode(content, "application/json", {}, max_fields=math.inf)
        file: Json = FileSchema().load(raw)
    except BadRequest as error:
        about = str(error.description).replace("body", "file")
        example = '{"description": "Packed"}'
        raise BadRequest(about.replace(example, "what export writes")) from error
    except ValidationError as error:
        raise BadRequest("\n".join(problems_in(error.messages_dict))) from error
    return file


def accept(raw: Json, left_out: list[str]) -> Json:
    """Return what a file takes of *raw*, which has its form, as export would write it.

    *left_out* gets a line for each param, text or row that a file does not take.
    """
    stores: dict[int, Json] = {}
    for row in raw["stores"]:
        own = take(STORE, row, f"store {row['store_id']}", left_out)
        if own.keys() == row.keys():
            stores[own["store_id"]] = own
    statuses: dict[str, Json] = {}
    taken: set[int] = set()
    for row in raw["statuses"]:
        status = accept_status(row, stores, left_out)
        if status and (name_of(status) in statuses or status["status_id"] in taken):
            left_out.append(f"{name_of(status)}: Another has the same letter or id.")
        elif status:
            statuses[name_of(status)] = status
            taken.add(status["status_id"])
    return {
        "stores": sorted(stores.values(), key=itemgetter("store_id")),
        "statuses": sorted(statuses.values(), key=name_of),
    }


def accept_status(
    raw: Json, stores: Mapping[int, Json], left_out: list[str]
) -> Json | None:
    """Return what a file takes of a status, or None if it does not take the status."""
    place = f"{raw['type']} {raw.get('status') or raw.get('status_id')}"
    common = raw["texts"]
    texts = take_texts(COMMON_TEXTS, common, {}, f"{place}.texts", left_out)
    store_texts = {}
    for store_id in sorted(raw["store_texts"].keys() & stores.keys()):
        own, inner = raw["store_texts"][store_id], f"{place}.store_texts.{store_id}"
        if taken := take_texts(STORE_TEXTS, own, common, inner, left_out):
            store_texts[store_id] = taken
    names = ("status_id", "status", "is_default", "position", "params")
    row = {name: raw[name] for name in names if raw.get(name)}
    known = take(STATUS, row, place, left_out)
    status = EMPTY | known | {"type": raw["type"], "texts": texts}
    problems = [*check_status(place, {}, status)]
    left_out += problems or [
        f"{place}.{n}: Missing." for n in names[:2] if n not in row
    ]
    if problems or not {"status_id", "status"} <= known.keys():
        return None
    shown = {n: status[n] for n in (*Status.__table__.columns.keys(), "texts")}
    return shown | ({"store_texts": store_texts} if store_texts else {})


def take_texts(
    schema: Schema, raw: Json, common: Json, place: str, left_out: list[str]
) -> Json:
    """Return the texts of each language, but for those that are *common* ones."""
    found = {}
    for code in sorted(raw):
        others = common.get(code, {})
        row = {n: text for n, text in raw[code].items() if text != others.get(n)}
        if own := take(schema, row, f"{place}.{code}", left_out):
            found[code] = own
    return found


def take(schema: Schema, row: Json, place: str, left_out: list[str]) -> Json:
    """Return what *schema* takes of a *row*, value by value; name what it refuses."""
    taken: Json = {}
    for name, value in row.items():
        pieces = [{key: value[key]} for key in value] if isinstance(value, dict) else []
        for piece in pieces or [value]:
            try:
                bodies.check_values({name: piece}, math.inf)
                own = schema.load({name: piece}, partial=True)
                taken = overlay(taken, own)
            except BadRequest as error:
                left_out.append(f"{place}.{name}: {error.description}")
            except ValidationError as error:
                problems = problems_in(error.messages_dict)
                left_out.extend(f"{place}.{problem}" for problem in problems)
    return taken


def problems_in(errors: Mapping[Any, Any]) -> Iterator[str]:
    """Yield each of marshmallow's *errors*, after its place in the file.

    >>> list(problems_in({"statuses": {3: {"texts": {"ru": {"key": ["Unknown."]}}}}}))
    ['statuses[3].texts.ru: Unknown.']
    """
    for place, _, messages in differences({}, errors):
        # marshmallow adds these.
        parts = [part for part in place if part not in {"key", "value", "_schema"}]
        shown = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in parts)
        # A name may be anything, such as an escape sequence for the terminal.
        name = shown.removeprefix(".")
        yield f"{name if name.isprintable() else repr(name)}: {' '.join(messages)}"


def differences(
    old: Mapping[Any, Any], new: Mapping[Any, Any], *outer: Any
) -> Iterator[tuple[Place, Any, Any]]:
    """Yield each place where two nested mappings differ, with what is there in both.

    >>> list(differences({}, {"params": {"color": "#ffffff"}}))
    [(('params', 'color'), None, '#ffffff')]
    """
    for name in {**old, **new}:
        was, will = old.get(name), new.get(name)
        if isinstance(was, dict) or isinstance(will, dict):
            yield from differences(was or {}, will or {}, *outer, name)
        elif was != will:
            yield (*outer, name), was, will


def export(users: bool) -> tuple[bytes, list[str]]:
    """Return the content of a file, and the types and languages that it leaves out.

    It is the same for the same statuses.
    """
    with read_transaction():
        stores, statuses = read_stores(db.session), read_statuses(db.session)
        file: Json = {"stores": stores, "statuses": statuses}
        if users:
            file |= {"users": read_users(), "freed_letters": read_freed_letters()}
            file["last_status_id"] = last_id(db.session)
        others = left_out()
    return encode(file), others


def encode(file: Json) -> bytes:
    return f"{json.dumps(file, ensure_ascii=False, indent=2, default=str)}\n".encode()


def write_file(name: str, content: bytes, is_secret: bool = False) -> None:
    """Write a file whole or not at all; one with secrets must not exist yet.

    What is no regular file, such as a pipe or a device, is written plainly.

    :raise OSError: a regular file is as it was
    """
    if is_secret and os.path.lexists(name):
        raise FileExistsError(f"{name} exists already.")
    old = os.stat(name) if os.path.exists(name) else None
    if old and not stat.S_ISREG(old.st_mode):
        Path(name).write_bytes(content)
        return
    path = Path(os.path.realpath(name))  # resolve() fails at a link to itself
    beside = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with open(os.open(beside, flags, 0o600 if is_secret else 0o666), "wb") as file:
            if old:
                os.fchmod(file.fileno(), stat.S_IMODE(old.st_mode))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_stores(session: AnySession) -> list[Json]:
    query = sa.select(Store.store_id, Store.name).order_by(Store.store_id)
    return [dict(row) for row in session.execute(query).mappings()]


def read_statuses(session: AnySession) -> list[Json]:
    """Return the statuses of the configured types, in the configured languages.

    They are sorted in Python: databases sort texts differently.
    """
    of_type = Status.type.in_(config.types())
    rows = session.execute(sa.select(Status.__table__).where(of_type)).mappings()
    statuses: dict[int, Json] = {row["status_id"]: {**row, "texts": {}} for row in rows}
    for model in (StatusText, StoreText):
        in_language = model.lang_code.in_(config.languages())
        query = sa.select(model.__table__).join(Status).where(of_type, in_language)
        names = [name for name in TEXTS if hasattr(model, name)]
        for row in sorted(session.execute(query)):
            found = ((name, getattr(row, name)) for name in names)
            texts = {name: text for name, text in found if text is not None}
            if texts:
                status = statuses[row.status_id]
                of_status = status["texts"]
                if model is StoreText:
                    in_stores = status.setdefault("store_texts", {})
                    of_status = in_stores.setdefault(row.store_id, {})
                of_status[row.lang_code] = texts
    return sorted(statuses.values(), key=name_of)


def name_of(status: Mapping[str, Any]) -> str:
    """Return what a status is recognised by: its type and letter."""
    return f"{status['type']} {status['status']}"


def read_users() -> list[Json]:
    names = ("email", "store_id", "read_only", "is_active")
    columns = [getattr(User, name) for name in names]
    keys = Key.user_id == User.user_id
    query = sa.select(*columns, Key.key_hash, Key.created_on).outerjoin(Key, keys)
    users: dict[str, Json] = {}
    for row in sorted(db.session.execute(query)):
        own = {name: getattr(row, name) for name in names}
        user = users.setdefault(row.email, {**own, "keys": {}})
        if row.key_hash:
            user["keys"][row.key_hash] = row.created_on
    return list(users.values())


def read_freed_letters() -> list[Json]:
    query = sa.select(FreedLetter.__table__)
    of_type = query.where(FreedLetter.type.in_(config.types()))
    rows = [dict(row) for row in db.session.execute(of_type).mappings()]
    return [FreedLetterSchema().dump(row) for row in sorted(rows, key=name_of)]


def left_out() -> list[str]:
    """Return the types and languages in the database that are not configured."""
    codes = (Status.type, StatusText.lang_code, StoreText.lang_code)
    found = db.session.scalars(sa.union(*(sa.select(code) for code in codes)))
    return sorted({*found} - {*config.types(), *config.languages()})


class Plan(NamedTuple):
    """What an apply does and what it leaves, for a person; the statuses to write."""

    done: list[str]
    kept: list[str]  # what the file lacks, although it is to be pruned
    notes: list[str]
    changes: list[tuple[Json, Json]]  # a status as it is, {} if new, and as it will be


def make_plan(file: Json, prune: bool, users: bool) -> Plan:
    """Find the statuses to write; apply stores and deletions, which may be rolled back.

    New statuses and users come later: a rollback does not return the ids of PostgreSQL.

    :raise 400: naming all that cannot be written
    """
    plan = Plan(add_stores(db.session, file), [], [], [])
    if users:
        if db.session.scalar(sa.select(User.user_id).limit(1)):
            # An old file would bring revoked keys back.
            raise BadRequest("The database has API users already; leave out --users.")
        plan.done.extend(f"user {row['email']}" for row in file["users"])
    if prune:
        delete_others(plan, file)
    find_changes(plan, db.session, file, prune)
    for change in plan.changes:
        plan.done.extend(describe(*change))
    return plan


def add_stores(session: AnySession, file: Json) -> list[str]:
    """Add and rename storefronts; return what is done, for a person."""
    names = {row["store_id"]: row["name"] for row in file["stores"]}
    new = writing.write_stores(session, names)
    return [f"store {store_id}: {name!r}" for store_id, name in new.items()]


def add_users(file: Json) -> None:
    for row in file["users"]:
        user = User(**{name: row[name] for name in row if name != "keys"})
        db.session.add(user)
        db.session.flush()
        db.session.add_all(
            Key(key_hash=key_hash, created_on=day or sa.null(), user_id=user.user_id)
            for key_hash, day in row["keys"].items()
        )


def add_freed_letters(session: AnySession, file: Json) -> None:
    """Add the freed letters in a *file*, except those that its statuses have again."""
    in_use = set(map(name_of, file["statuses"]))
    for row in file.get("freed_letters", ()):
        if name_of(row) not in in_use:
            session.merge(FreedLetter(**row))


def delete_others(plan: Plan, file: Json) -> None:
    """Delete the statuses that the *file* lacks; name what is kept.

    Only the attempt shows what must stay: tables of a shop may refer to it.
    """
    in_file = set(map(name_of, file["statuses"]))
    of_type = Status.type.in_(config.types())
    query = sa.select(Status).where(of_type).order_by(Status.type, Status.status)
    for status in db.session.scalars(query).all():
        name = f"{status.type} {status.status}"
        if name not in in_file:
            try:
                with savepoint():
                    writing.remove_status(status)
            except HTTPException as error:
                plan.kept.append(f"kept {name}: {error.description}")
            else:
                plan.done.append(f"deleted {name}")
    stores = {row["store_id"] for row in file["stores"]}
    plan.kept.extend(
        f"kept store {row['store_id']} {row['name']!r}: remove-store removes it."
        for row in read_stores(db.session)
        if row["store_id"] not in stores
    )


def find_changes(plan: Plan, session: AnySession, file: Json, prune: bool) -> None:
    """Add to the *plan* each status that differs from the *file*.

    With *prune* nothing stays that the file lacks, except texts in other stores.

    :raise 400: naming all that cannot be written
    """
    before = {name_of(status): status for status in read_statuses(session)}
    taken = set(session.scalars(sa.select(Status.status_id)))
    stores = {row["store_id"] for row in file["stores"]}
    problems: list[str] = []
    for n, own in enumerate(file["statuses"]):
        name = name_of(own)
        old = before.get(name, {})
        kept = in_other_stores(old, stores) if prune else old
        new = overlay(EMPTY | kept, own)
        problems += check_status(f"statuses[{n}]", old, new)
        if old:
            new["status_id"] = old["status_id"]
        elif (status_id := new.get("status_id")) in taken:
            plan.notes.append(f"{name} gets another id: {status_id} is taken.")
            del new["status_id"]
        # The order of params counts too.
        if any(differences(old, new)) or [*old["params"]] != [*new["params"]]:
            plan.changes.append((old, new))
    if problems:
        raise BadRequest("\n".join(problems))
    # The ids of the file come before those that the database chooses.
    plan.changes.sort(key=lambda change: "status_id" not in change[1])
    unchanged = len(before) - sum(bool(old) for old, _ in plan.changes)
    plan.notes.append(f"unchanged: {unchanged}")


def check_status(place: str, old: Json, new: Json) -> Iterator[str]:
    """Yield what is wrong with a status as it will be."""
    if not old and not any("description" in texts for texts in new["texts"].values()):
        yield f"{place}.texts: A new status has no description."
    if len(new["params"]) > schemas.MAX_PARAMS:
        yield f"{place}.params: More than {schemas.MAX_PARAMS}."


def in_other_stores(status: Json, stores: set[int]) -> Json:
    texts = status.get("store_texts", {})
    return {"store_texts": {key: texts[key] for key in texts.keys() - stores}}


def overlay(old: Json, own: Json) -> Json:
    """Return *old* with what *own* has; None removes.

    >>> overlay({"a": 1, "b": {"c": 2}}, {"a": None, "b": {"d": 3}})
    {'b': {'c': 2, 'd': 3}}
    """
    laid = dict(old)
    for name, value in own.items():
        inner = isinstance(value, dict)
        laid[name] = overlay(old.get(name, {}), value) if inner else value
    return {name: value for name, value in laid.items() if value is not None}


def describe(old: Json, new: Json) -> Iterator[str]:
    """Yield a line for each field that changes; of a new status, its description."""
    if not old:
        texts = (new["texts"].get(code, {}) for code in config.languages())
        description = next(own["description"] for own in texts if "description" in own)
        yield f"created {name_of(new)} {description!r}"
        return
    yield f"changed {name_of(new)}"
    for place, was, will in differences(old, new):
        yield f"  {'.'.join(map(str, place))}: {was!r:.70} → {will!r:.70}"


def write_and_signal(old: Json, new: Json) -> None:
    """Write a status; its signals are sent after the commit."""
    status = write(db.session, old, new)
    signal = writing.status_updated if old else writing.status_created
    if not signal.receivers:  # there may be thousands of places
        return
    # ("store_texts", 1, "en", "email_subj") is seen in the store 1 and the language en.
    seen_in = {place[1:-1]: None for place, *_ in differences(old, new)} if old else {}
    for where in seen_in or [()]:
        writing.announce(signal, status, None, *reversed(where))


def write(session: AnySession, old: Json, new: Json) -> Status:
    """Write a status and all its texts."""
    columns = {name: new[name] for name in new if not name.endswith("texts")}
    status_id = old["status_id"] if old else insert_status(session, columns)
    status = session.get_one(Status, status_id)
    for name, value in columns.items():
        setattr(status, name, value)
    if old:
        attributes.flag_modified(status, "params")  # maybe their order alone changes
    session.flush()
    key = {"status_id": status.status_id}
    common = [
        {**key, "lang_code": code, **own} for code, own in new["texts"].items() if own
    ]
    in_stores = [
        {**key, "store_id": store_id, "lang_code": code, **own}
        for store_id, texts in new["store_texts"].items()
        for code, own in texts.items()
        if own
    ]
    for model, rows in ((StatusText, common), (StoreText, in_stores)):
        known = model.lang_code.in_(config.languages())
        session.execute(sa.delete(model).filter_by(**key).where(known))
        if rows:
            empty = dict.fromkeys(model.__table__.columns.keys())
            # Plain rows instead of objects: there may be thousands.
            insert = sa.insert(model).execution_options(dml_strategy="raw")
            session.execute(insert, [empty | row for row in rows])
    if not old and "status_id" in new and is_postgresql(session):  # SQLite does it
        go_on_after(status.status_id, session)
    return status


def insert_status(session: AnySession, columns: Json) -> int:
    """Add a status, and return its id.

    The model would refuse types that are not configured; default statuses have them.
    """
    key = {"type": columns["type"], "status": columns["status"]}
    session.execute(sa.delete(FreedLetter).filter_by(**key))
    insert = sa.insert(Status).execution_options(dml_strategy="raw")
    added: Any = session.execute(insert, columns)
    return cast(int, added.inserted_primary_key[0])


def go_on_after(status_id: int, session: AnySession) -> None:
    """Let new statuses get ids after *status_id*, and after all that there were."""
    last = max(status_id, last_id(session))
    if is_postgresql(session):
        session.execute(sa.select(sa.func.setval(SEQUENCE, last)))
    else:  # sqlite_sequence has no unique key, and maybe no row
        own = SQLITE_SEQUENCE.c.name == Status.__tablename__
        session.execute(sa.delete(SQLITE_SEQUENCE).where(own))
        row = {"name": Status.__tablename__, "seq": last}
        session.execute(sa.insert(SQLITE_SEQUENCE).values(row))


def last_id(session: AnySession) -> int:
    """Return the highest id that a status has or ever had, or 0."""
    if is_postgresql(session):
        # A role that may use a sequence may not always read it.
        last = sa.select(sa.func.pg_sequence_last_value(SEQUENCE))
    else:
        own = SQLITE_SEQUENCE.c.name == Status.__tablename__
        last = sa.select(SQLITE_SEQUENCE.c.seq).where(own)
    highest = sa.select(sa.func.max(Status.status_id))
    return max(session.scalar(query) or 0 for query in (last, highest))


def is_postgresql(session: AnySession) -> bool:
    return session.get_bind(Status).dialect.name == "postgresql"


def default_statuses() -> Json:
    """Return the default statuses, with texts in each of the configured languages."""
    file = Path(__file__).parent / "seed.json"
    seed: Json = json.loads(file.read_text(encoding="utf-8"))
    for row in seed["statuses"]:
        texts, default = row["texts"], config.languages()[0]
        row["texts"] = {
            code: texts.get(code) or texts.get(default) or texts["en"]
            for code in config.languages()
        }
    return seed


def fill(connection: sa.Connection, file: Json | None = None) -> bool:
    """Fill empty tables from the *file*, or with the default statuses.

    A missing change tag is added, whatever the other tables hold. Return whether the
    tables were empty.
    """
    # A shop's tests may roll it back to a savepoint, which is not this one's to end.
    with Session(connection, join_transaction_mode="rollback_only") as session:
        if session.get(models.ChangeTag, 1):
            return False
        session.add(models.ChangeTag())
        is_empty = not (read_stores(session) or session.scalar(sa.select(Status)))
        if is_empty:
            new = file or default_statuses()
            if last := new.get("last_status_id"):
                go_on_after(last, session)
            plan = Plan(add_stores(session, new), [], [], [])
            find_changes(plan, session, new, prune=False)
            for change in plan.changes:
                write(session, *change)
            add_freed_letters(session, new)
        session.flush()
        return is_empty
