"""The documentation page: its requests, in its order, against its responses.

And those of README.md and docs/api.md in the same way.
"""

import json
import re
import shlex
from argparse import ArgumentParser

from flask.testing import FlaskClient

from .servers import ROOT

PROCESSED = """
{
"status_id": "1",
"status": "P",
"type": "O",
"is_default": "Y",
"description": "Processed",
"email_subj": "has been processed",
"email_header": "Your order has been processed successfully.",
"lang_code": "en",
"params":
{
"allow_return": "N",
"repay": "N",
"gift_cert_status": "P",
"notify": "Y",
"inventory": "D",
"color": "#97cf4d",
"remove_cc_info": "Y"
}
}
"""
COMPLETE = """
{
"status_id": "2",
"status": "C",
"type": "O",
"is_default": "Y",
"description": "Complete",
"email_subj": "has been completed",
"email_header": "Your order has been completed. Thank you for choosing us.",
"lang_code": "en",
"params":
{
"allow_return": "Y",
"repay": "N",
"notify": "Y",
"gift_cert_status": "A",
"inventory": "D",
"color": "#97cf4d",
"remove_cc_info": "Y"
}
}
"""
NEW = """
{
"type": "O",
"description": "Proc",
"email_subj": "has been processed",
"email_header": "Your order has been processed successfully.",
"lang_code": "en",
"params":
{
"allow_return": "N",
"repay": "N",
"gift_cert_status": "P",
"notify": "Y",
"inventory": "D",
"color": "#97cf4d",
"remove_cc_info": "Y"
}
}
"""


def compact(text: str) -> str:
    """Drop the white space between JSON's tokens; the order of keys stays."""
    return json.dumps(json.loads(text), separators=(",", ":"))


def test_page_in_its_order(client: FlaskClient) -> None:
    listed = client.get("/api/2.0/statuses")
    assert listed.status_code == 200
    assert listed.text.startswith(f"[{compact(PROCESSED)},{compact(COMPLETE)},")

    read = client.get("/api/2.0/statuses/1")
    assert (read.status_code, read.text) == (200, compact(PROCESSED))

    json_header = {"Content-type": "text/json"}
    created = client.post("/api/2.0/statuses", data=NEW, headers=json_header)
    assert created.status_code == 201
    assert created.json is not None
    assert created.json["statuses_id"] == "12"

    form_header = {"Content-type": "text/plain"}
    store_texts = "email_subj=test&email_header=header"
    set_in_store = client.put(
        "/api/2.0/stores/1/statuses/2", data=store_texts, headers=form_header
    )
    assert (set_in_store.status_code, set_in_store.json) == (200, {"status_id": "2"})

    updated = client.put(
        "/api/2.0/statuses/2", data="description=Test", headers=form_header
    )
    assert (updated.status_code, updated.json) == (200, {"status_id": "2"})

    deleted = client.delete("/api/2.0/statuses/3")
    assert (deleted.status_code, deleted.data) == (204, b"")


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
