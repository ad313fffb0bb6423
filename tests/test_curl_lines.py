"""The curl lines of README.md and docs/api.md print what the pages show below them."""

import re
import shlex
from argparse import ArgumentParser

from flask.testing import FlaskClient

from .servers import ROOT

CURL = re.compile(
    r"```sh\ncurl (.*'http://127\.0\.0\.1:5000.*)\n```\n(?:```json\n(.*)\n```\n)?"
)


def test_lines_of_our_pages_print_what_is_below_them(client: FlaskClient) -> None:
    pages = [ROOT / "README.md", ROOT / "docs" / "api.md"]
    lines = CURL.findall("".join(page.read_text("utf-8") for page in pages))
    curl = ArgumentParser()
    curl.add_argument("url")
    curl.add_argument("-X", default="GET")
    curl.add_argument("--header", default="Accept: */*")
    curl.add_argument("--data-binary")

    assert len(lines) == 8
    for line, printed in lines:
        asked = curl.parse_args(shlex.split(line))
        headers = dict([asked.header.split(": ")])
        body = asked.data_binary
        response = client.open(asked.url, method=asked.X, headers=headers, data=body)
        # What is left out of a long response is an ellipsis.
        expected = ".*".join(map(re.escape, printed.split("…")))
        assert re.fullmatch(expected, response.text), line
