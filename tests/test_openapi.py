"""The OpenAPI document: that it is valid, and says what its readers need."""

import json
import re

import pytest
import yaml
from openapi_spec_validator import OpenAPIV31SpecValidator

from order_statuses import bodies, config, openapi, schemas

from .contract import PREFIXES
from .document import SETTINGS, Json, operations, parameters, served
from .servers import ROOT


@pytest.fixture(scope="module")
def document() -> Json:
    return served()


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_document_is_valid_openapi(prefix: str, settings: dict[str, str]) -> None:
    OpenAPIV31SpecValidator(served(prefix, **settings)).validate()


def test_file_is_the_document_of_the_default_settings(document: Json) -> None:
    contract = yaml.safe_load(openapi.FILE.read_text(encoding="utf-8"))
    version = f"\nVersion {config.__version__} of the service.\n"
    contract["info"]["description"] += version
    for name in ("StatusesEnvelope", "StoresEnvelope", "Paging"):
        del contract["components"]["schemas"][name]
    del contract["components"]["responses"]["PreconditionRequired"]
    status = contract["components"]["schemas"]["OrderStatus"]
    status["required"].remove("position")
    for part in (status["properties"], *status["examples"]):
        del part["position"]
    for name, operation in operations(contract).items():
        if name.startswith(("put", "delete")):
            del operation["responses"]["428"]

    assert document == contract


def test_every_operation_says_what_it_does_and_who_may_call_it(document: Json) -> None:
    named = operations(document)

    assert document["security"] == [{"basic": []}]
    assert document["components"]["securitySchemes"]["basic"]["scheme"] == "basic"
    assert {n: o["security"] for n, o in named.items() if "security" in o} == {
        "get /openapi.json": []
    }
    assert all(0 < len(operation["summary"]) < 60 for operation in named.values())
    assert all(operation["description"] for operation in named.values())
    assert {t for o in named.values() for t in o["tags"]} == {
        tag["name"] for tag in document["tags"]
    }


def test_every_parameter_says_what_happens_without_it(document: Json) -> None:
    for name in operations(document):
        for parameter in parameters(document, name):
            is_required = parameter.get("required", False)
            assert is_required or "Without it" in parameter["description"]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_every_component_is_used(prefix: str, settings: dict[str, str]) -> None:
    document = served(prefix, **settings)
    unused = {
        f"#/components/{kind}/{name}"
        for kind, named in document["components"].items()
        for name in named
    } - set(re.findall('"(#/components/.+?)"', json.dumps(document)))

    assert unused == {"#/components/securitySchemes/basic"}  # used by its name


def test_no_two_components_have_one_name_in_a_generated_client(document: Json) -> None:
    components = document["components"]
    bodies_ = {f"{name}Body" for name in components["requestBodies"]}

    assert not bodies_ & components["schemas"].keys()


def known_params(text: str) -> dict[str, tuple[str, str]]:
    """Return the values and the meaning in the table of the known params in *text*."""
    rows = re.findall(r"^\| `(\w+)` \| (\S.*?) \| (.+?) \|$", text, re.MULTILINE)
    return {name: (values, meaning) for name, values, meaning in rows}


def test_known_params_are_those_of_the_code_of_the_schema_and_of_the_page(
    document: Json,
) -> None:
    patterns = {
        "`#rrggbb`": "#[0-9A-Fa-f]{6}",
        "`Y`, `N`": "[YN]",
        "`D`, `I`": "[DI]",
        "`D`, `I`, `C`, `O`": "[DICO]",
        "`A`–`Z`, `0`–`9`": "[A-Z0-9]",  # noqa: RUF001
    }
    known = known_params(document["info"]["description"])
    in_json = document["components"]["schemas"]["Params"]["properties"]
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")

    assert len(known) == 14
    assert list(schemas.KNOWN_PARAMS.items()) == [
        (name, patterns[values]) for name, (values, _) in known.items()
    ]
    assert {name: in_json[name]["description"] for name in in_json} == {
        name: f"{meaning[0].upper()}{meaning[1:]}."
        for name, (_, meaning) in known.items()
    }
    section = page.partition("### Params")[2].partition("## ")[0]
    assert known_params(section) == known


def test_document_has_the_limits_of_a_body(document: Json) -> None:
    size = f"{bodies.MAX_BYTES // 2**20} MiB"
    refused = document["components"]["responses"]["RequestEntityTooLarge"]

    about = document["info"]["description"]
    assert f"at most {size} and {bodies.MAX_FIELDS:,} fields" in about
    assert f"larger than {size}" in refused["description"]


@pytest.mark.parametrize(("setting", "required"), [("no", False), ("yes", True)])
def test_document_has_the_conditions_of_a_write(setting: str, required: bool) -> None:
    document = served(ORDER_STATUSES_REQUIRE_IF_MATCH=setting)
    conditions = {
        name: next(
            (p for p in parameters(document, name) if p["name"] == "If-Match"), None
        )
        for name in operations(document)
    }

    del conditions["get /openapi.json"]
    for name, condition in conditions.items():
        required_here = required and name.startswith(("put", "delete"))
        responses = operations(document)[name]["responses"]
        assert condition is not None
        assert condition.get("required", False) == required_here
        assert ("428" in responses, "412" in responses) == (required_here, True)
