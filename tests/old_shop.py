"""A shop that responds as CS-Cart 4.3 or 4.15 does, where these differ from us."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

Json = dict[str, Any]

USER, KEY = "admin@old-shop.example", "key-of-the-old-shop"
LANGUAGES = ("en", "de")
NO_TEXTS: Json = dict.fromkeys(("description", "email_subj", "email_header"))


def as_json(body: Any, status: int = 200) -> Response:
    """Return JSON as PHP writes it, which escapes all but ASCII."""
    return Response(json.dumps(body), status, content_type="application/json")


def texts(name: str, subject: str | None = "", header: str | None = "") -> Json:
    return {"description": name, "email_subj": subject, "email_header": header}


def status(status_id: int, letter: str, type: str = "O", **others: Any) -> Json:
    """Return a status as the tests know it, whatever its shop shows of it."""
    own = {code: texts(f"{type}{letter} {code}", f"is {letter}") for code in LANGUAGES}
    known = {"status_id": status_id, "status": letter, "type": type, "is_default": "N"}
    return known | {"position": 0, "params": {}, "texts": own, "stores": {}} | others


class OldShop:
    """A WSGI application; its attributes are what a test may change."""

    def __init__(self, version: str) -> None:
        is_new = version == "4.15"
        self.statuses: list[Json] = []
        self.stores: dict[int, str] | int = {1: "Main store", 2: "Outlet"}
        self.root = "/api"
        self.refused: dict[str, Response] = {}  # by path
        self.bound_to: int | None = None
        self.shows_position = is_new
        self.shows_numbers = is_new
        self.is_plain = False
        self.counts_slice = not is_new
        self.largest_page = 0  # 0: all
        self.names_page = True
        self.knows_pages = True
        self.elsewhere = 404  # where there is no API
        # What a row lacks without texts in a shop's language.
        self.lacking = ("status_id",) if is_new else ("status", "type")
        self.falls_back = is_new  # to its first language, for one that it does not have
        self.requests: list[Request] = []

    def __call__(self, environ: Any, start_response: Any) -> Any:
        request = Request(environ)
        self.requests.append(request)
        return self.respond(request)(environ, start_response)

    def respond(self, request: Request) -> Response:
        if self.root.endswith(".php"):
            path = request.args.get("_d", "") if request.path == self.root else None
        else:
            found = request.path.removeprefix(f"{self.root}/")
            path = found if found != request.path else None
        if path is None:
            return Response("<h1>A page</h1>", self.elsewhere, content_type="text/html")
        sent = request.authorization
        if not sent or (sent.username, sent.password) != (USER, KEY):
            return as_json({"message": "Unauthorized", "status": 401}, 401)
        path = path.removeprefix("2.0/")
        if path in self.refused:
            return self.refused[path]
        match path.split("/"):
            case ["statuses"]:
                return self.page("statuses", self.rows(request, None), request)
            case ["stores"] if isinstance(self.stores, dict):
                shown = [
                    {"company_id": str(n), "company": name, "storefront": "old.example"}
                    for n, name in self.stores.items()
                    if self.bound_to in {None, n}
                ]
                return self.page("stores", shown, request)
            case ["stores"] if isinstance(self.stores, int):
                return as_json([], self.stores)
            case ["stores", store_id] if self.bound_to not in {None, int(store_id)}:
                return as_json([], 403)
            case ["stores", store_id, "statuses"]:
                return self.page("statuses", self.rows(request, int(store_id)), request)
        return as_json([], 404)

    def stores_by_id(self) -> dict[int, str]:
        return self.stores if isinstance(self.stores, dict) else {}

    def page(self, name: str, rows: list[Json], request: Request) -> Response:
        size = int(request.args.get("items_per_page", 10)) or self.largest_page
        page = int(request.args.get("page", 1)) if self.knows_pages else 1
        start = (page - 1) * size
        shown = rows[start : start + size] if size else rows
        if self.is_plain:
            return as_json(shown)
        total = len(shown) if self.counts_slice else len(rows)
        paging = {
            "items_per_page": size if self.names_page else 0,
            "page": 1,
            "total_items": total,
        }
        return as_json({name: shown, "params": paging})

    def rows(self, request: Request, store_id: int | None) -> list[Json]:
        type, code = request.args.get("type", "O"), request.args.get("lang_code", "en")
        found = [own for own in self.statuses if own["type"] == type]
        return [self.row(own, code, store_id) for own in found]

    def row(self, own: Json, code: str, store_id: int | None) -> Json:
        if self.falls_back and code not in LANGUAGES:
            code = LANGUAGES[0]
        shown = {name: own[name] for name in ("status_id", "status", "type")}
        shown |= {"is_default": own["is_default"], "params": own["params"] or []}
        if self.shows_position:
            shown["position"] = own["position"]
        if not self.shows_numbers:
            shown["status_id"] = str(own["status_id"])
        if code not in own["texts"]:
            return shown | NO_TEXTS | dict.fromkeys((*self.lacking, "lang_code"))
        in_store = own["stores"].get(store_id, {}).get(code, {})
        shown |= own["texts"][code] | in_store | {"lang_code": code}
        return shown


@contextmanager
def listening(application: Any, **options: Any) -> Iterator[str]:
    """Serve *application* on a free port of this machine; yield the URL."""
    server = make_server("127.0.0.1", 0, application, threaded=True, **options)
    thread = Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    try:
        scheme = "https" if options else "http"
        yield f"{scheme}://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
