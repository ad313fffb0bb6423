"""The stock data: what a fresh database holds."""

import json
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.orm import Session

from . import config
from .models import CatalogueLock, Status, StatusText, Store, new_token

ENGLISH = "en"


def read() -> dict[str, Any]:
    """Return what stock.json holds: its stores and its statuses."""
    file = Path(__file__).parent / "stock.json"
    stock: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return stock


def fill(connection: Connection) -> None:
    """Load the stock data into empty tables, and add the lock if it is missing."""
    with Session(connection) as session:
        if session.get(CatalogueLock, 1) is None:
            session.add(CatalogueLock(token=new_token()))
            if not any(session.scalar(select(of).limit(1)) for of in (Store, Status)):
                load(session)
            session.flush()


def load(session: Session) -> None:
    """Load the stock data, in the configured languages, into empty tables."""
    stock = read()
    session.add_all(Store(**store) for store in stock["stores"])
    for row in stock["statuses"]:
        texts = row.pop("texts")
        session.add(Status(**row))
        session.flush()
        for lang_code in config.languages():
            chosen = first_of(texts, lang_code, config.languages()[0], ENGLISH)
            key = {"status_id": row["status_id"], "lang_code": lang_code}
            session.add(StatusText(**key, **chosen))
    if session.get_bind().dialect.name == "postgresql":
        # Ids given by hand leave the sequence behind.
        sequence = func.pg_get_serial_sequence(Status.__tablename__, "status_id")
        session.execute(select(func.setval(sequence, func.max(Status.status_id))))


def first_of(texts: dict[str, dict[str, str]], *lang_codes: str) -> dict[str, str]:
    """Return the texts in the first of *lang_codes* that there are."""
    return next(texts[lang_code] for lang_code in lang_codes if lang_code in texts)
