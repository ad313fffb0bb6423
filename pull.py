"""The statuses of a live shop, read over HTTP, in the form of a file."""

import json
import re
from collections import defaultdict
from itertools import count, product
from typing import Any
from urllib.parse import urlencode

import urllib3
from click import ClickException
from urllib3.exceptions import HTTPError
from werkzeug.datastructures import Authorization

from .models import TEXTS
from .statuses_file import Json, default_statuses

Codes = tuple[str, ...]
SECONDS = 30
URL = re.compile(r"https?://(\[[0-9a-f:.]+\]|[\w.-]+)(:\d+)?(/[^?#\s]*)?", re.I)
# Others can read the key on its way.
EXPOSED = re.compile(r"http:(?!//(localhost|127(\.\d+){3}|\[::1\])([:/]|$))", re.I)
# As strings, the numbers of JSON keep their digits.
AS_TEXT: Any = {"parse_int": str, "parse_float": str, "parse_constant": str}
NOT_SPOKEN = "The shop has no texts in {}: check ORDER_STATUSES_LANGUAGES."
FIELDS = {"status_id", "status", "is_default", "params", "position"}


class Shop:
    """The API of a live shop, which is sent GETs alone; a failure is raised."""

    def __init__(self, url: str, user: str, key: str, is_insecure: bool) -> None:
        if not URL.fullmatch(url):
            raise ClickException("Give a URL such as https://old-shop.example/api.")
        if EXPOSED.match(url) and not is_insecure:
            raise ClickException("http:// shows the key to others; see --insecure.")
        self.url = url.rstrip("/")
        self.root = self.url + ("?_d=" if self.url.endswith("/api.php") else "/")
        basic = Authorization("basic", {"username": user, "password": key})
        headers = {"Authorization": basic.to_header(), "Accept": "application/json"}
        # Without retries a redirect is not followed: the key would go along.
        self.http = urllib3.PoolManager(timeout=SECONDS, retries=False, headers=headers)
        self.notes: list[str] = []
        self.left_out: list[str] = []

    def read(self, languages: Codes, types: Codes) -> Json:
        """Return all that the shop shows, in the form of a file, and unchecked."""
        self.find_api()
        stores = self.read_stores()
        ids = [store["store_id"] for store in stores if store["store_id"]]
        found = [row for type in types for row in self.read_type(type, languages, ids)]
        self.check_languages(languages, found)
        if not stores:
            self.notes.append("The shop shows no storefronts: the file has one.")
        return {"stores": stores or default_statuses()["stores"], "statuses": found}

    def find_api(self) -> None:
        """Use the address of shops without URL rewriting, if there is no other."""
        status, body = self.get("statuses")
        parts = re.fullmatch("(.*)/api/(.*)", f"{self.url}/")
        if parts and status != 403 and body is None:
            self.root = f"{parts[1]}/api.php?_d={parts[2]}"
            status, body = self.get("statuses")
        if status == 403:
            raise ClickException("The user has no right to read the statuses (403).")
        if rows_in(body, "statuses") is None:
            raise ClickException(f"No API at {self.url}; its address ends in /api.")

    def get(self, path: str, **query: object) -> tuple[int, Any]:
        """Return a response's status, 200, 403 or 404, and its JSON if it is 200."""
        separator = "&" if "?" in self.root else "?"
        address = f"{self.root}{path}{separator}{urlencode(query)}"
        try:
            response = self.http.request("GET", address)
        except HTTPError as error:
            raise ClickException(f"No response from {self.url}: {error}") from error
        if response.status not in {200, 403, 404}:
            reason = ": the e-mail or the key is wrong" * (response.status == 401)
            if location := response.headers.get("Location"):
                reason = f": it redirects to {location[:300]!r}; give the new address"
            raise ClickException(f"{self.url} responds with {response.status}{reason}.")
        try:
            body = response.data if response.status == 200 else b"null"
            return response.status, json.loads(body, **AS_TEXT)
        except (ValueError, RecursionError):
            return response.status, None

    def read_list(self, path: str, **query: str) -> list[Json]:
        """Return the list at *path*, or what the shop shows of it."""
        found: list[Json] = []
        for page in count(1):
            _, body = self.get(path, **query, items_per_page=0, page=page)
            rows = rows_in(body, path.rpartition("/")[2])
            new = [row for row in rows or [] if row not in found]
            found += new
            size, total = paging_in(body)
            if not new or not (size or total > len(found)):
                break
        if total > len(found) or (rows is None and (query or found)):
            self.left_out.append(f"{path}?{urlencode(query)}: Not all of it is shown.")
        return found

    def read_stores(self) -> list[Json]:
        """Return the storefronts, if the shop shows them and the key is for all."""
        stores = [
            {"store_id": number(row.get("company_id")), "name": row.get("company")}
            for row in self.read_list("stores")
        ]
        ids = [store["store_id"] for store in stores]
        lacking = next(n for n in count(1) if n not in ids)
        if stores and self.get(f"stores/{lacking}")[0] == 403:
            # Its texts would be taken for the common ones.
            raise ClickException("The key is bound to one storefront; use one for all.")
        return stores

    def read_type(self, type: str, languages: Codes, stores: list[int]) -> list[Json]:
        """Return the statuses of a type, in the order of the shop."""
        found: list[Json] = []
        for code, store_id in product(languages, (None, *stores)):
            path = f"stores/{store_id}/statuses" if store_id else "statuses"
            for row in self.read_list(path, type=type, lang_code=code):
                add(found, {**row, "type": type}, code, store_id)
        ids = [own["status_id"] for own in found if own["status_id"]]
        if ids != sorted(ids) and not any("position" in own for own in found):
            for n, own in enumerate(found, 1):
                own["position"] = 10 * n
        return found

    def check_languages(self, languages: Codes, found: list[Json]) -> None:
        """Name the *languages* without texts; fail if there are no others."""
        used = {code for own in found for code, texts in own["texts"].items() if texts}
        if found and (lacking := [code for code in languages if code not in used]):
            self.notes.append(NOT_SPOKEN.format(", ".join(lacking)))
            if not used:
                raise ClickException(self.notes[-1])


def rows_in(body: Any, name: str) -> list[Json] | None:
    """Return the rows of a list, in an envelope or not; None if it is none."""
    rows = body.get(name) if isinstance(body, dict) else body
    is_rows = isinstance(rows, list) and all(isinstance(row, dict) for row in rows)
    return rows if is_rows else None


def paging_in(body: Any) -> tuple[int, int]:
    """Return the size of a page, 0 for all, and the number of rows, 0 for unknown.

    Shops up to 4.5.1 count in *total_items* only the rows that they return.
    """
    paging = body.get("params") if isinstance(body, dict) else None
    shown = paging if isinstance(paging, dict) else {}
    size, total = (number(shown.get(n)) for n in ("items_per_page", "total_items"))
    return size or 0, total or 0


def number(value: Any) -> int | None:
    """Return the number that a shop wrote as a number or a string."""
    return int(value) if re.fullmatch("[0-9]{1,18}", str(value)) else None


def add(found: list[Json], row: Json, code: str, store_id: int | None) -> None:
    """Add a row, as a storefront and a language have it, to its status in *found*."""
    row["status_id"] = number(row.get("status_id"))
    own = next((status for status in found if is_same(status, row)), None)
    if own is None:
        own = {"type": row["type"], "texts": {}, "store_texts": defaultdict(dict)}
        found.append(own)
    for name in FIELDS & row.keys():
        own[name] = own.get(name) or row[name]
    # A shop may respond in another language than the one asked for.
    if str(row.get("lang_code") or code).lower() == code.lower():
        texts = own["store_texts"][store_id] if store_id else own["texts"]
        texts[code] = {name: row[name] for name in TEXTS if row.get(name) is not None}


def is_same(status: Json, row: Json) -> bool:
    """Return whether a row is of a status; one without texts lacks its id or letter."""
    pairs = [(status.get(name), row.get(name)) for name in ("status_id", "status")]
    return {old == new for old, new in pairs if old and new} == {True}
