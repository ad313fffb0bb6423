"""A load of writes: their responses, and what the database has of them after."""

import string
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from threading import Event, Thread
from typing import Any, NamedTuple

import httpx
from sqlalchemy import select

from order_statuses.database import db
from order_statuses.models import Status, StatusText, StoreText
from tests.conftest import ADMINISTRATOR, KEY, service

# Enough of them for 34 statuses each.
TYPES = ",".join(string.ascii_uppercase)
STATUSES = 20  # that each writer creates, at most
SECONDS = 60


class Losses(NamedTuple):
    """What went wrong, in numbers; *unacknowledged* writes are there all the same."""

    lost: int
    halves: int
    unacknowledged: int


class Writer(Thread):
    """Creates statuses and changes them; all texts of one write are the same.

    *possible* is what each status, and its texts in store 1, may hold: what was
    acknowledged last, and whatever was sent since.
    """

    def __init__(self, url: str, name: str, stopped: Event) -> None:
        super().__init__(name=name)
        self.client = httpx.Client(
            base_url=f"{url}/api/2.0",
            auth=(ADMINISTRATOR, KEY + ADMINISTRATOR),
            timeout=SECONDS,
        )
        self.stopped = stopped
        self.responses: Counter[int] = Counter()
        self.slowest = 0.0
        self.acknowledged: dict[tuple[str, bool], str] = {}
        self.possible: defaultdict[tuple[str, bool], set[str]] = defaultdict(set)

    def run(self) -> None:
        own: list[str] = []
        with self.client:
            for number in count():
                if self.stopped.is_set():
                    return
                if len(own) < STATUSES and number % 3 == 0:
                    own += self.create(f"{self.name}-{number}")
                elif own:
                    status_id = own[number // 3 % len(own)]
                    self.change(status_id, number % 3 == 2, f"{self.name}-{number}")

    def create(self, text: str) -> list[str]:
        type_ = TYPES[2 * (int(self.name) % 26)]
        response = self.send("POST", "/statuses", {"type": type_, **written(text)})
        if response is None or response.status_code != 201:
            return []
        status_id = response.json()["status_id"]
        self.acknowledge((status_id, False), text)
        return [status_id]

    def change(self, status_id: str, in_store: bool, text: str) -> None:
        path = (
            f"/stores/1/statuses/{status_id}" if in_store else f"/statuses/{status_id}"
        )
        self.possible[status_id, in_store].add(text)
        response = self.send("PUT", path, written(text))
        if response is not None and response.status_code == 200:
            self.acknowledge((status_id, in_store), text)

    def acknowledge(self, target: tuple[str, bool], text: str) -> None:
        self.acknowledged[target] = text
        self.possible[target] = {text}

    def send(self, method: str, path: str, body: Any) -> httpx.Response | None:
        """Return the response, or None if there was none; status 0 counts those."""
        started = time.monotonic()
        try:
            response = self.client.request(method, path, json=body)
        except httpx.TransportError:
            self.responses[0] += 1
            self.stopped.wait(0.1)
            return None
        self.slowest = max(self.slowest, time.monotonic() - started)
        self.responses[response.status_code] += 1
        return response


def written(text: str) -> dict[str, Any]:
    texts = dict.fromkeys(("description", "email_subj", "email_header"), text)
    return {**texts, "params": {"a": text, "b": text}}


class Load:
    """Several writers at once."""

    def __init__(self, url: str, writers: int) -> None:
        self.stopped = Event()
        self.writers = [Writer(url, str(n), self.stopped) for n in range(writers)]

    @property
    def responses(self) -> Counter[int]:
        return sum((writer.responses for writer in self.writers), Counter())

    @property
    def acknowledged(self) -> int:
        responses = self.responses
        return responses[200] + responses[201]

    @property
    def slowest(self) -> float:
        return max(writer.slowest for writer in self.writers)

    def wait_for(self, writes: int) -> None:
        """Wait until so many more writes were acknowledged."""
        goal, end = self.acknowledged + writes, time.monotonic() + SECONDS
        while self.acknowledged < goal:
            if time.monotonic() > end:
                raise TimeoutError(f"{self.acknowledged} of {goal}: {self.responses}")
            time.sleep(0.01)

    def losses(self, database_url: str) -> Losses:
        """Compare what was acknowledged with what the database has."""
        acknowledged: dict[tuple[str, bool], str] = {}
        possible: dict[tuple[str, bool], set[str]] = {}
        for writer in self.writers:
            acknowledged |= writer.acknowledged
            possible |= writer.possible
        found = read_back(database_url)
        lost = [
            target
            for target in acknowledged
            if not found.get(target, set()) & possible[target]
        ]
        halves = [target for target, texts in found.items() if len(texts) > 1]
        unacknowledged = [
            target
            for target, texts in found.items()
            if texts != {acknowledged.get(target)}
        ]
        return Losses(len(lost), len(halves), len(unacknowledged))


@contextmanager
def load(url: str, writers: int = 8) -> Iterator[Load]:
    """Write to the server at *url* until the end of the block."""
    load = Load(url, writers)
    for writer in load.writers:
        writer.start()
    try:
        yield load
    finally:
        load.stopped.set()
        for writer in load.writers:
            writer.join()


def read_back(database_url: str) -> dict[tuple[str, bool], set[Any]]:
    """Return the texts of each status, and of each in store 1, that writers wrote."""
    found: dict[tuple[str, bool], set[Any]] = {}
    with service(database_url) as app, app.app_context():
        created = select(Status).where(Status.status_id > 11)
        for status in db.session.scalars(created):
            rows = select(StatusText).filter_by(status_id=status.status_id)
            texts = {row.lang_code: row for row in db.session.scalars(rows)}
            found[str(status.status_id), False] = whole(status, texts)
        for row in db.session.scalars(select(StoreText)):
            found[str(row.status_id), True] = {row.email_subj, row.email_header}
    return found


def whole(status: Status, texts: dict[str, StatusText]) -> set[Any]:
    """Return the one text that *status* has everywhere, or several if it is not whole.

    A Russian text is the one that the status was created with.
    """
    english, russian = (
        {row.description, row.email_subj, row.email_header} if row else {None}
        for row in (texts.get("en"), texts.get("ru"))
    )
    params = {status.params.get("a"), status.params.get("b")}
    return (
        english | params | (russian if len(russian) > 1 or None in russian else set())
    )
