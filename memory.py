"""What was answered lately, in bounded memory."""

from collections.abc import Hashable
from contextlib import suppress
from threading import Lock
from typing import NamedTuple

from cachetools import TTLCache


class Remembered(NamedTuple):
    """What makes an answer again."""

    body: bytes
    headers: list[tuple[str, str]]


def size_of(answer: Remembered) -> int:
    # With about what Python needs beside the text, which bounds the number as well.
    headers = sum(len(name) + len(value) for name, value in answer.headers)
    return len(answer.body) + headers + 2000


class Memory:
    """The answers that one application gave in the last *seconds*, in *size* bytes.

    Each stands under the catalogue's token as it was then, so that none is ever stale;
    the time is for rows that somebody changes by hand.
    """

    def __init__(self, size: int = 32 * 1024 * 1024, seconds: float = 60) -> None:
        self.lock = Lock()
        self.answers: TTLCache[Hashable, Remembered] = TTLCache(
            size, seconds, getsizeof=size_of
        )

    def get(self, key: Hashable) -> Remembered | None:
        with self.lock:
            return self.answers.get(key)

    def keep(self, key: Hashable, answer: Remembered) -> None:
        with self.lock, suppress(ValueError):  # it alone is larger than the memory
            self.answers[key] = answer
