"""The examples in docstrings are true."""

import doctest
from importlib import import_module

import pytest

from .servers import ROOT

MODULES = sorted(
    file.stem for file in ROOT.glob("*.py") if ">>>" in file.read_text("utf-8")
)


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings_are_true(module: str) -> None:
    tried = doctest.testmod(import_module(f"order_statuses.{module}"))

    assert tried.attempted > 0
    assert tried.failed == 0
