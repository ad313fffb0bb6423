"""What the service requires: lowest versions, and exact ones that are installed."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement

from .servers import ROOT


def read(file: str) -> str:
    return (ROOT / file).read_text(encoding="utf-8")


def requirements(file: str) -> list[str]:
    """Return the requirements in *file*, each with its hashes in one line."""
    text = re.sub("#.*", "", read(file)).replace("\\\n", "")
    return [line.strip() for line in text.splitlines() if line.strip()]


LOWEST = [Requirement(line) for line in requirements("requirements.txt")]
LOCKED = requirements("requirements.lock")


def test_service_requires_the_same_versions_installed_and_in_a_checkout() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    extras = {name: set(e) for name, e in project["optional-dependencies"].items()}
    in_checkout = set(requirements("requirements.txt"))

    assert set(project["dependencies"]) | extras["server"] == in_checkout
    assert extras["docs"] < extras["server"]


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("lowest", LOWEST, ids=str)
def test_lock_satisfies_the_requirements(
    lowest: Requirement, python: str, machine: str
) -> None:
    here = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "platform_machine": machine,
        "sys_platform": "linux",
    }
    locked = [Requirement(line.partition(" --hash")[0]) for line in LOCKED]
    (found,) = (
        requirement
        for requirement in locked
        if requirement.name == lowest.name
        and (requirement.marker is None or requirement.marker.evaluate(here))
    )
    (exact,) = found.specifier

    assert exact.operator == "=="
    assert exact.version in lowest.specifier
    assert found.extras == lowest.extras


def test_lock_has_hashes() -> None:
    hashes = "( +--hash=sha256:[0-9a-f]{64})+"

    assert [line for line in LOCKED if not re.search(f"==.*?{hashes}$", line)] == []


@pytest.mark.parametrize(
    "file", ["deploy/Dockerfile", "docs/deployment.md", "docs/operations.md"]
)
def test_lock_is_what_is_installed(file: str) -> None:
    installed = re.findall(r"install (.*)-r (?:\S+/)?(requirements\.\w+)", read(file))

    assert set(installed) == {("--require-hashes ", "requirements.lock")}
