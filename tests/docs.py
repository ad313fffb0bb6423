"""The pages of the documentation, and the code in them."""

import re

from .servers import ROOT


def read_page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


README = read_page("README.md")
EMBEDDING = read_page("docs/embedding.md")
OPERATIONS = read_page("docs/operations.md")
DEPLOYMENT = read_page("docs/deployment.md") + OPERATIONS


def section(heading: str, page: str = DEPLOYMENT) -> str:
    """Return what *page* has below *heading*."""
    _, found, rest = page.partition(f"\n## {heading}\n")
    assert found, heading
    return rest.partition("\n## ")[0]


def code(text: str, language: str = "sh") -> list[str]:
    """Return the blocks of code in *text*; those of sh are for its readers to type."""
    fence = rf"^```{language}\n(.*?)^```$"
    return re.findall(fence, text, re.MULTILINE | re.DOTALL)
