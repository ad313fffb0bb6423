"""What clients send, in the documentation's own spelling."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from marshmallow import (
    EXCLUDE,
    Schema,
    ValidationError,
    fields,
    pre_load,
    validate,
    validates_schema,
)

from . import config

YES_NO = "[YN]"
# What a known key of params may be; add-ons use keys of their own.
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


def configured(codes: Callable[[], tuple[str, ...]]) -> Callable[[str], None]:
    """Return a validator that refuses a code that is not configured."""

    def check(code: str) -> None:
        if code not in codes():
            raise ValidationError(f"Must be one of: {', '.join(codes())}.")

    return check


known_language = configured(config.languages)
known_type = configured(config.types)


def one_line(text: str) -> None:
    """Refuse line breaks: the text becomes a mail header."""
    if text and text.splitlines() != [text]:
        raise ValidationError("Must be a single line; take the line breaks out.")


EMAIL_SUBJ: list[Callable[[str], object]] = [validate.Length(max=255), one_line]
EMAIL_HEADER = validate.Length(max=65535)


def trim(value: Any) -> Any:
    """Return text without the white space around it."""
    return value.strip() if isinstance(value, str) else value


def digits(value: Any) -> Any:
    """Refuse numbers that int() would take but a database or a reader would not."""
    if not re.fullmatch("-?[0-9]{1,18}", value):
        raise ValidationError("Must be a whole number of at most 18 digits.")
    return value


def as_text(value: Any) -> Any:
    """Return a scalar as the string that stands for it, and anything else as it is.

    >>> as_text(True), as_text(5), as_text(5.0), as_text(None)
    ('Y', '5', '5', None)
    """
    if isinstance(value, bool):
        return "Y" if value else "N"
    if isinstance(value, int | float):
        return str(value).removesuffix(".0")  # the same number in JSON
    return value


def params_as_text(params: Any) -> Any:
    """Return *params* with its scalars as strings."""
    if isinstance(params, dict):
        return {name: as_text(param) for name, param in params.items()}
    return params


def check_params(params: Mapping[str, Any]) -> None:
    """Say what is wrong with each of the *params*, under its own name."""
    wrong = {
        f"params.{name[:64]}": [problem]
        for name, param in params.items()
        if (problem := problem_of(name, param))
    }
    if wrong:
        raise ValidationError(wrong)


def problem_of(name: str, param: Any) -> str | None:
    """Say what is wrong with a param, if anything is; None is one to remove."""
    if not re.fullmatch(PARAM_NAME, name):
        return "The name must be at most 64 of A-Z a-z 0-9 _ . and -."
    if param is None:
        return None
    if not isinstance(param, str):
        return "Must be a string, not an object or a list."
    if len(param) > PARAM_LENGTH:
        return f"Must be at most {PARAM_LENGTH} characters long."
    if name in KNOWN_PARAMS and not re.fullmatch(KNOWN_PARAMS[name], param):
        return f"Must match {KNOWN_PARAMS[name]}."
    return None


def cannot_update(name: str) -> str:
    """Say that a field is none that an update sets, and where it belongs if known."""
    belongs = f"; send params.{name}" if name in KNOWN_PARAMS else ""
    return f" {name[:64]!r} cannot be updated{belongs}."


class RequestSchema(Schema):
    """The shop ignores what it does not know, and its clients count on it."""

    class Meta:
        unknown = EXCLUDE


class NewStatusSchema(RequestSchema):
    """A status to create: every value but *params* is a string."""

    type = fields.String(validate=known_type, load_default=lambda: config.types()[0])
    is_default = fields.String(pre_load=as_text, validate=validate.OneOf(["Y", "N"]))
    description = fields.String(
        required=True, pre_load=trim, validate=validate.Length(1, 255)
    )
    email_subj = fields.String(validate=EMAIL_SUBJ)
    email_header = fields.String(validate=EMAIL_HEADER)
    lang_code = fields.String(validate=known_language)
    params = fields.Dict(
        pre_load=params_as_text,
        error_messages={"invalid": "Must be an object; in a form, params[color]=..."},
    )

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
                "is_default or params." + "".join(map(cannot_update, others))
            )


class StoreTextsSchema(RequestSchema):
    """The e-mail texts of a store: at least one; null returns to the common text."""

    email_subj = fields.String(allow_none=True, validate=EMAIL_SUBJ)
    email_header = fields.String(allow_none=True, validate=EMAIL_HEADER)
    lang_code = fields.String(validate=known_language)

    @validates_schema
    def check_not_empty(self, texts: Mapping[str, Any], **_: Any) -> None:
        if not texts.keys() - {"lang_code"}:
            raise ValidationError(
                "Nothing to update; send email_subj or email_header. "
                "Other fields are set without a store, at /statuses/:id."
            )


class WriteQuery(RequestSchema):
    """The query of an update: the language of texts whose body names none."""

    lang_code = fields.String(
        validate=known_language, load_default=lambda: config.languages()[0]
    )


class StatusQuery(RequestSchema):
    """The query of one status; an unknown language is the default one."""

    lang_code = fields.String(load_default=lambda: config.languages()[0])


class PageQuery(RequestSchema):
    """The query of a list; 0 *items_per_page* are all."""

    page = fields.Integer(
        load_default=1, pre_load=digits, validate=validate.Range(min=1)
    )
    items_per_page = fields.Integer(
        load_default=0, pre_load=digits, validate=validate.Range(min=0)
    )


class StatusesQuery(PageQuery, StatusQuery):
    """The query of a list of statuses; *status* is letters with commas between them."""

    type = fields.String(load_default=lambda: config.types()[0])
    status = fields.String()
    params = fields.Dict(values=fields.String())

    @pre_load
    def nest_params(self, query: Mapping[str, str], **_: Any) -> dict[str, Any]:
        """Put each ``params[name]`` below *params*, which alone means nothing."""
        names = {name: re.fullmatch(r"params\[(.*)\]", name, re.S) for name in query}
        params = {found[1]: query[name] for name, found in names.items() if found}
        return {**query, "params": params}
