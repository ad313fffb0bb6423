"""The statuses of a live shop, read over HTTP, in the form of a file."""

import json
import re
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
NOT_SPOKEN = "The shop has no texts in {}, which ORDER_STATUSES_LANGUAGES may name."
FIELDS = {"status_id", "status", "is_default", "params", "position"}


class Shop:
    """The API of a live shop, which is sent GETs alone; *notes* are for a person."""

    def __init__(self, url: str, user: str, key: str, is_insecure: bool) -> None:
        if not URL.fullmatch(url):
            raise ClickException("Give a URL such as https://old-shop.example/api.")
        if EXPOSED.match(url) and not is_insecure:
            raise ClickException("http:// shows the key to others; see --insecure.")
        self.url = url.rstrip("/")
        self.before = self.url + ("?_d=" if self.url.endswith("/api.php") else "/")
        basic = Authorization("basic", {"username": user, "password": key})
        headers = {"Authorization": basic.to_header(), "Accept": "application/json"}
        self.http = urllib3.PoolManager(timeout=SECONDS, retries=False, headers=headers)
        self.notes: list[str] = []
        self.left_out: list[str] = []

    def read(self, languages: Codes, types: Codes) -> Json:
        """Return all that the shop shows, in the form of a file, and unchecked.

        :raise ClickException: nothing can be read, or not what was asked for
        """
        self.find_api()
        stores = self.read_stores()
        ids = [n for store in stores if isinstance(n := store["store_id"], int)]
        found = [row for t in types for row in self.read_type(t, languages, ids)]
        if not stores:
            self.notes.append("The shop shows no storefronts: the file has one.")
            stores = default_statuses()["stores"]
        used = {code for row in found for code, own in row["texts"].items() if own}
        if unused := [code for code in languages if found and code not in used]:
            self.notes.append(NOT_SPOKEN.format(", ".join(unused)))
            if not used:
                raise ClickException(self.notes[-1])
        return {"stores": stores, "statuses": found}

    def find_api(self) -> None:
        """Use the address of shops without URL rewriting, if there is no other."""
        status, body = self.get("statuses")
        parts = re.fullmatch("(.*)/api/(.*)", f"{self.url}/")
        if parts and (status == 404 or (status == 200 and body is None)):
            self.before = f"{parts[1]}/api.php?_d={parts[2]}"
            status, body = self.get("statuses")
        if status == 403:
            raise ClickException("The user has no right to read the statuses (403).")
        if rows_in(body, "statuses") is None:
            raise ClickException(f"No API at {self.url}; its address ends in /api.")

    def get(self, path: str, **query: object) -> tuple[int, Any]:
        """Return the status of a response, 200, 403 or 404, and its JSON if it is 200.

        :raise ClickException: it has another status, or does not come
        """
        separator = "&" if "?" in self.before else "?"
        address = f"{self.before}{path}{separator}{urlencode(query)}"
        try:
            # A redirect is not followed: the key would go along.
            response = self.http.request("GET", address, redirect=False)
        except HTTPError as error:
            raise ClickException(f"No response from {self.url}: {error}") from error
        if response.status not in {200, 403, 404}:
            reason = ": the e-mail or the key is wrong" * (response.status == 401)
            if location := response.headers.get("Location"):
                reason = f": it redirects to {location[:300]!r}; give the new address"
            problem = f"responds with {response.status}{reason}."
            raise ClickException(f"{self.url} {problem}")
        content = response.data if response.status == 200 else b""
        try:
            return response.status, json.loads(content, **AS_TEXT)
        except (ValueError, RecursionError):
            return response.status, None

    def read_list(self, path: str, **query: str) -> list[Json]:
        """Return the whole list at *path*, none if the shop does not show it."""
        found: list[Json] = []
        for page in count(1):
            _, body = self.get(path, **query, items_per_page=0, page=page)
            rows = rows_in(body, path.rpartition("/")[2])
            if rows is None and page == 1 and query:
                self.left_out.append(f"{path}?{urlencode(query)}: It is not shown.")
            new = [row for row in rows or [] if row not in found]
            found += new
            if not new or (page == 1 and not is_cut(body, len(new))):
                break
        return found

    def read_stores(self) -> list[Json]:
        """Return the storefronts, none if the shop does not show them.

        :raise ClickException: the key is bound to one
        """
        stores = [
            {"store_id": number(row.get("company_id")), "name": row.get("company")}
            for row in self.read_list("stores")
        ]
        ids = [store["store_id"] for store in stores]
        lacking = next(number for number in count(1) if number not in ids)
        if stores and self.get(f"stores/{lacking}")[0] == 403:
            # Its texts would be taken for the common ones.
            raise ClickException("The key is bound to one storefront; use one for all.")
        return stores

    def read_type(self, type: str, languages: Codes, stores: list[int]) -> list[Json]:
        """Return the statuses of a type, in the order of the shop."""
        found: list[Json] = []
        for code, store_id in product(languages, (None, *stores)):
            folder = f"stores/{store_id}/" if store_id else ""
            for row in self.read_list(f"{folder}statuses", type=type, lang_code=code):
                row["status_id"] = number(row.get("status_id"))
                own = next((status for status in found if is_same(status, row)), None)
                if own is None:
                    found.append(own := {"type": type, "texts": {}, "store_texts": {}})
                for name in FIELDS & row.keys():
                    own[name] = own.get(name) or row[name]
                texts = own["texts"]
                if store_id:
                    texts = own["store_texts"].setdefault(store_id, {})
                # A shop may respond in another language than the one asked for.
                if str(row.get("lang_code") or code).lower() == code.lower():
                    texts[code] = {n: row[n] for n in TEXTS if row.get(n) is not None}
        ids = [n for own in found if isinstance(n := own["status_id"], int)]
        if ids != sorted(ids) and not any("position" in own for own in found):
            for place, own in enumerate(found, 1):
                own["position"] = 10 * place
        return found


def rows_in(body: Any, name: str) -> list[Json] | None:
    """Return the rows of a list, in an envelope or not; None if it is none."""
    rows = body.get(name) if isinstance(body, dict) else body
    is_rows = isinstance(rows, list) and all(isinstance(row, dict) for row in rows)
    return rows if is_rows else None


def is_cut(body: Any, rows: int) -> bool:
    """Say whether a list has other pages, though all of it was asked for.

    Shops up to 4.5.1 count in *total_items* only the rows that they return.
    """
    paging = body.get("params") if isinstance(body, dict) else {}
    paging = paging if isinstance(paging, dict) else {}
    size, total = (number(paging.get(n)) for n in ("items_per_page", "total_items"))
    return bool(size) or (isinstance(total, int) and total > rows)


def number(value: Any) -> Any:
    """Return the number that a shop wrote as a string, and anything else as it is."""
    return int(value) if re.fullmatch("[0-9]{1,18}", str(value)) else value


def is_same(status: Json, row: Json) -> bool:
    """Say whether a row is of a status; one without texts lacks its id or letter."""
    pairs = [(status.get(name), row.get(name)) for name in ("status_id", "status")]
    return {old == new for old, new in pairs if old and new} == {True}
