"""Request bodies and queries, in the documentation's own spelling."""

import re
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from unicodedata import category

from marshmallow import (
    EXCLUDE,
    Schema,
    ValidationError,
    fields,
    pre_load,
    validate,
    validates_schema,
)
from werkzeug.datastructures import MultiDict

from . import config

Messages = dict[str, str | list[Any] | dict[Any, Any]]

# Some clients send null for whatever is not set.
KEEP: Messages = {"null": "Must not be null; leave the field out to keep it."}
KEEP_OR_EMPTY: Messages = {
    "null": 'Must be a string; leave the field out to keep it, or send "" to empty it.'
}
NOT_AN_OBJECT: Messages = {"invalid": "Must be an object; in a form, params[color]=..."}
NOT_A_STRING = "Must be a string, not an object or a list."
# A body with one is a 400 before.
UNSTORABLE = re.compile("[\0\ud800-\udfff]")
NOT_STORABLE = "Must have no NUL and no half of a surrogate pair; leave it out."
# N and T are reserved for hidden order states.
STATUS_LETTERS = (
    string.ascii_uppercase.replace("N", "").replace("T", "") + string.digits
)
YES_NO = "[YN]"
# Patterns of the values in openapi.yaml's table, which is the source; add-ons use
# params of their own.
KNOWN_PARAMS = {
    "color": "#[0-9A-Fa-f]{6}",
    "notify": YES_NO,
    "notify_department": YES_NO,
    "notify_vendor": YES_NO,
    "notify_supplier": YES_NO,
    "inventory": "[DI]",
    "remove_cc_info": YES_NO,
    "repay": YES_NO,
    "allow_return": YES_NO,
    "payment_received": YES_NO,
    "calculate_for_payouts": YES_NO,
    "grant_reward_points": YES_NO,
    "appearance_type": "[DICO]",
    "gift_cert_status": "[A-Z0-9]",
}
PARAM_NAME = "[A-Za-z0-9_.-]{1,64}"
PARAM_LENGTH = 255
MAX_PARAMS = 64
TOO_MANY_PARAMS = f"A status has at most {MAX_PARAMS} params; remove some."
POSITION = "0|[1-9][0-9]{0,5}"


def configured(
    codes: Callable[[], tuple[str, ...]], pattern: str
) -> Callable[[str], None]:
    """Return a validator that refuses a code that is not configured.

    Where no application has mounted the API, it refuses what does not match *pattern*.
    """

    def check(code: str) -> None:
        if not config.is_mounted():
            if not re.fullmatch(pattern, code):
                raise ValidationError(f"Must match {pattern}.")
        elif code not in codes():
            raise ValidationError(f"Must be one of: {', '.join(codes())}.")

    return check


known_language = configured(config.languages, config.LANGUAGE)
known_type = configured(config.types, config.TYPE)


def storable(text: str) -> None:
    """Refuse what no database stores as text."""
    if UNSTORABLE.search(text):
        raise ValidationError(NOT_STORABLE)


def no_control_characters(text: str) -> None:
    """Refuse what damages logs and mail headers (the category Cc of Unicode)."""
    if re.search(r"[\x00-\x1f\x7f-\x9f]", text):
        raise ValidationError("Must have no control characters; take them out.")


def one_line(text: str) -> None:
    """Refuse line breaks and control characters: the text becomes a mail header."""
    if text and text.splitlines() != [text]:
        raise ValidationError("Must be a single line; take the line breaks out.")
    no_control_characters(text)


def visible(text: str) -> None:
    """Refuse a text of nothing but white space, joiners and control characters."""
    # Not all of the category C: what is unassigned here may be a new emoji.
    unseen = {"Cc", "Cf", "Zs", "Zl", "Zp"}
    if text and all(c.isspace() or category(c) in unseen for c in text):
        raise ValidationError("Must have a character that can be seen.")


DESCRIPTION: list[Callable[[str], object]] = [
    validate.Length(1, 255),
    storable,
    no_control_characters,
    visible,
]
EMAIL_SUBJ: list[Callable[[str], object]] = [
    validate.Length(max=255),
    storable,
    one_line,
]
EMAIL_HEADER: list[Callable[[str], object]] = [validate.Length(max=65535), storable]
LETTER = validate.OneOf([*STATUS_LETTERS])


@dataclass(slots=True)
class Number:
    """A JSON number, as it was written: a float would lose digits."""

    literal: str

    def __str__(self) -> str:
        return self.literal


def as_text(value: Any) -> Any:
    """Convert a scalar to a string; return anything else as it is.

    >>> as_text(True), as_text(5), as_text(Number("5.0")), as_text(None)
    ('Y', '5', '5.0', None)
    """
    if isinstance(value, bool):
        return "Y" if value else "N"
    if isinstance(value, int | float | Number):
        return str(value)
    return value


class YesNo(fields.String):
    """``Y`` or ``N``; booleans stand for them."""

    default_error_messages = KEEP

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        return super()._deserialize(as_text(value), *args, **kwargs)


class Position(fields.Integer):
    """A whole number from 0 to 999,999, or its digits."""

    default_error_messages = KEEP

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        if isinstance(value, bool) or not re.fullmatch(POSITION, str(value)):
            raise ValidationError("Must be a whole number from 0 to 999999.")
        return int(str(value))


class Text(fields.String):
    """A text that may be empty."""

    default_error_messages = KEEP_OR_EMPTY


class TrimmedText(fields.String):
    """A text without the white space around it."""

    default_error_messages = KEEP

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        trimmed = value.strip() if isinstance(value, str) else value
        return super()._deserialize(trimmed, *args, **kwargs)


class Code(fields.String):
    """The code of a language or a type."""

    default_error_messages = KEEP


class Digits(fields.Integer):
    """A whole number in a query, of at most 18 digits."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if not re.fullmatch("-?[0-9]{1,18}", value):
            raise ValidationError("Must be a whole number of at most 18 digits.")
        return super()._deserialize(value, *args, **kwargs)


class EmptyArrayIsObject(fields.Field):  # type: ignore[type-arg]  # of marshmallow 4
    """For a field that takes an object: PHP writes an empty one as ``[]``."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        return super()._deserialize({} if value == [] else value, *args, **kwargs)


class Params(EmptyArrayIsObject, fields.Dict):
    """An object whose scalars become strings; an empty known param becomes None."""

    default_error_messages = KEEP | NOT_AN_OBJECT

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        params = super()._deserialize(value, *args, **kwargs)
        removed = {name for name in KNOWN_PARAMS if params.get(name) == ""}
        return {n: None if n in removed else as_text(p) for n, p in params.items()}


def check_params(params: Mapping[str, Any]) -> None:
    """Check the name and the value of each of *params*.

    :raise ValidationError: with a message for each that is wrong, under its name
    """
    wrong = {
        f"params.{str(name)[:64]}": [problem]
        for name, param in params.items()
        if (problem := problem_of(name, param))
    }
    if wrong:
        raise ValidationError(wrong)


def check_stored(params: Any, before: Mapping[str, Any]) -> None:
    """Refuse params that cannot be stored, unless they were *before*."""
    if not isinstance(params, dict):
        raise ValidationError("Must be an object.")
    new = {
        name: param
        for name, param in params.items()
        if name not in before or before[name] != param
    }
    if len(params) > max(MAX_PARAMS, len(before)):
        raise ValidationError(TOO_MANY_PARAMS)
    # None would remove a param.
    check_params({n: [] if param is None else param for n, param in new.items()})


def problem_of(name: str, param: Any) -> str | None:
    """Return what is wrong with a param, or None; the value None removes it."""
    if not (isinstance(name, str) and re.fullmatch(PARAM_NAME, name)):
        return "The name must be at most 64 of A-Z a-z 0-9 _ . and -."
    if param is None:
        return None
    if not isinstance(param, str):
        return NOT_A_STRING
    if len(param) > PARAM_LENGTH:
        return f"Must be at most {PARAM_LENGTH} characters long."
    if name in KNOWN_PARAMS and not re.fullmatch(KNOWN_PARAMS[name], param):
        return f"Must match {KNOWN_PARAMS[name]}."
    return NOT_STORABLE if UNSTORABLE.search(param) else None


def cannot_update(name: str) -> str:
    """Return the message for a field that PUT does not set."""
    belongs = f"; send params.{name}" if name in KNOWN_PARAMS else ""
    return f" {name[:64]!r} cannot be updated{belongs}."


class RequestSchema(Schema):
    """Unknown fields are ignored, as the documented API does."""

    class Meta:
        unknown = EXCLUDE


class NewStatusSchema(RequestSchema):
    """A status to create."""

    type = Code(validate=known_type, load_default=lambda: config.types()[0])
    is_default = YesNo(validate=validate.OneOf(["Y", "N"]))
    position = Position()
    description = TrimmedText(required=True, validate=DESCRIPTION)
    email_subj = Text(validate=EMAIL_SUBJ)
    email_header = Text(validate=EMAIL_HEADER)
    lang_code = Code(validate=known_language)
    params = Params()

    @validates_schema(skip_on_field_errors=False)
    def check_each_param(self, status: Mapping[str, Any], **_: Any) -> None:
        check_params(status.get("params", {}))


class StatusChangesSchema(NewStatusSchema):
    """What an update changes: at least one field of a status."""

    class Meta(NewStatusSchema.Meta):
        exclude = ("type",)

    @validates_schema(pass_original=True)
    def check_not_empty(
        self, changes: Mapping[str, Any], body: Mapping[str, Any], **_: Any
    ) -> None:
        if not changes.keys() - {"lang_code"}:
            others = [name for name in body if name not in changes][:10]
            raise ValidationError(
                "Nothing to update; send description, email_subj, email_header, "
                "is_default, position or params." + "".join(map(cannot_update, others))
            )


class StoreTextsSchema(RequestSchema):
    """The e-mail texts of a store: at least one; null returns to the common text."""

    email_subj = fields.String(allow_none=True, validate=EMAIL_SUBJ)
    email_header = fields.String(allow_none=True, validate=EMAIL_HEADER)
    lang_code = Code(validate=known_language)

    @validates_schema
    def check_not_empty(self, texts: Mapping[str, Any], **_: Any) -> None:
        if not texts.keys() - {"lang_code"}:
            raise ValidationError(
                "Nothing to update; send email_subj or email_header. "
                "Other fields are set without a store, at /statuses/:id."
            )


class RowSchema(NewStatusSchema):
    """The values of a status in the tables."""

    status = Code(validate=LETTER)


class WriteQuery(RequestSchema):
    """The query of an update: the language of the texts, unless the body has one."""

    lang_code = fields.String(
        validate=known_language, load_default=lambda: config.languages()[0]
    )


class ReadQuery(RequestSchema):
    """A query whose parameters are ignored if they are empty."""

    @pre_load
    def drop_empty(self, query: MultiDict[str, str], **_: Any) -> dict[str, Any]:
        return {name: value for name, value in query.items() if value}


class StatusQuery(ReadQuery):
    """The query of one status; an unknown language is the default one."""

    lang_code = fields.String(load_default=lambda: config.languages()[0])


class PageQuery(ReadQuery):
    """The query of a list; 0 *items_per_page* are all."""

    page = Digits(load_default=1, validate=validate.Range(min=1))
    items_per_page = Digits(load_default=0, validate=validate.Range(min=0))


class StatusesQuery(PageQuery, StatusQuery):
    """The query of a list of statuses; *status* is letters, or empty for all."""

    type = fields.String(load_default=lambda: config.types()[0])
    status = fields.List(fields.String())
    params = fields.Dict(values=fields.String())

    @pre_load
    def drop_empty(self, query: MultiDict[str, str], **_: Any) -> dict[str, Any]:
        """Collect the letters, and the params, which may be empty."""
        letters = ",".join(query.getlist("status")).split(",")
        kept: dict[str, Any] = super().drop_empty(query)
        return kept | {
            "status": [letter.strip() for letter in letters if letter.strip()],
            "params": {
                name[len("params[") : -1]: value
                for name, value in query.items()
                if name.startswith("params[") and name.endswith("]")
            },
        }


# Fields of a response, which clients may send back, and a form's own field.
NOT_LISTED = {"status_id", "status", "_charset_"}
NOT_LISTED |= NewStatusSchema().fields.keys()


def ignored_in(body: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return ``{"ignored": [...]}`` for at most 10 fields in *body* that no status has.

    >>> ignored_in({"description": "Packed", "email_subject": "is packed"})
    {'ignored': ['email_subject']}
    """
    unknown = [name[:64] for name in body if name not in NOT_LISTED]
    return {"ignored": unknown[:10]} if unknown else {}
