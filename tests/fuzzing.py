"""What schemathesis cannot read in the document, for tests/fuzzing.toml."""

import re
from typing import Any
from urllib.parse import urlencode

import schemathesis

# A valid request is refused in two cases alone; the document knows no state.
DUE_TO_STATE = {
    "DELETE": "A default status cannot be deleted",
    "POST": "All letters of this type are taken",
}


@schemathesis.hook
def before_call(
    context: schemathesis.HookContext, case: schemathesis.Case[Any], **_: Any
) -> None:
    """Make any text a field: the document can only say that text/plain is text."""
    is_example = re.match("(description|email_subj)=", str(case.body))
    if case.media_type == "text/plain" and is_valid(case) and not is_example:
        fields = {"description": "Packed", "email_subj": "", "email_header": case.body}
        case.body = urlencode(fields)


@schemathesis.hook
def filter_case(
    context: schemathesis.HookContext, case: schemathesis.Case[Any]
) -> bool:
    """Leave out what is only called invalid: on the wire it is not.

    A form has nothing but text, and the last of repeated names counts; of a repeated
    parameter the first, and of params only what has a name in brackets.

    And what is only called valid: 5.0 is an integer to JSON Schema, but not to the
    service, which takes a number by its digits.
    """
    if is_valid(case):
        body: Any = case.body if isinstance(case.body, dict) else {}
        values = [body.get("position"), *(body.get("params") or {}).values()]
        return not any(isinstance(value, float) for value in values)
    parameters = (case.query or {}).values()
    is_json = "json" in (case.media_type or "")
    fields = case.body.values() if isinstance(case.body, dict) and not is_json else ()
    return all(isinstance(field, str) for field in fields) and not any(
        isinstance(parameter, list | dict) for parameter in parameters
    )


@schemathesis.check
def valid_request_is_refused_for_the_state_alone(
    context: schemathesis.CheckContext,
    response: schemathesis.Response,
    case: schemathesis.Case[Any],
) -> None:
    if response.status_code == 400 and is_valid(case):
        message = response.json()["message"]
        assert DUE_TO_STATE.get(case.method, "?") in message, message


def is_valid(case: schemathesis.Case[Any]) -> bool:
    return case.meta is not None and case.meta.generation.mode.is_positive
