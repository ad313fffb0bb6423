"""What a host plugs in: a veto on deletes, receivers of signals, its storefronts."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from blinker import Namespace, Signal
from flask import Flask, current_app
from sqlalchemy import delete, select
from werkzeug.exceptions import BadRequest, ServiceUnavailable

from . import reading, writing
from .auth import caller
from .models import Key, Status, Store, StoreText, User, db

Receiver = Callable[..., Any]

signals = Namespace()

# Sent with the application, after the commit: status (an OrderStatus), caller, and
# store_id, the storefront whose texts were set, or None.
status_created = signals.signal("status-created")
status_updated = signals.signal("status-updated")
status_deleted = signals.signal("status-deleted")

logger = logging.getLogger(__name__)


def prepare(
    signal: Signal,
    status: Status,
    lang_code: str | None = None,
    store_id: int | None = None,
) -> Callable[[], None]:
    """Return a function that sends *signal*, to be called after the commit.

    Its receivers get *status* as it is now, in a language and as a store.
    """
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    receivers = list(signal.receivers_for(app))
    if not receivers:  # then nothing is read
        return lambda: None
    seen = reading.snapshot(status, lang_code, store_id)
    values = {"status": seen, "caller": caller(), "store_id": store_id}
    return lambda: send(app, receivers, values)


def send(app: Flask, receivers: Iterable[Receiver], values: Mapping[str, Any]) -> None:
    """Call the *receivers*; one that raises is logged and stops no other.

    The write is committed: an error now would make clients repeat it.
    """
    for receiver in receivers:
        try:
            app.ensure_sync(receiver)(app, **values)
        except Exception:
            logger.exception("A receiver of a signal failed: %r", receiver)
            db.session.rollback()


def check_unused(status: Status) -> None:
    """Ask the host how many of its orders have *status*.

    :raise 400: some have
    :raise 503: the host cannot tell
    """
    count_orders = current_app.config["ORDER_STATUSES_IN_USE"]
    if count_orders is None:
        return
    try:
        count = int(current_app.ensure_sync(count_orders)(reading.snapshot(status)))
    except Exception as error:
        logger.exception("ORDER_STATUSES_IN_USE failed: nothing is deleted.")
        unknown = "The shop cannot tell whether orders use this status; try again."
        raise ServiceUnavailable(unknown, retry_after=5) from error
    if count:
        raise BadRequest(f"Orders use this status: {count}. Give them another first.")


def set_stores(names: Mapping[int, str], *, allow_empty: bool = False) -> None:
    """Make the storefronts those of *names*, by id, in the host's own transaction.

    New ones are added and others renamed. Those that are not among *names* are removed,
    and with them their texts and the API users bound to them.

    :raise ValueError: an id or a name that no storefront can have; or no *names*,
        unless *allow_empty* says that all storefronts are to be removed
    """
    if not (names or allow_empty):
        raise ValueError("This would remove all storefronts: set allow_empty=True.")
    stores = [Store(store_id=store_id, name=name) for store_id, name in names.items()]
    writing.lock_catalogue()
    remove_stores_but(list(names))
    for store in stores:
        db.session.merge(store)


def remove_stores_but(kept: Sequence[int]) -> None:
    """Remove all storefronts but those *kept*, and what belongs to them."""
    # By hand: a host's SQLite may not enforce foreign keys, and a key without its user
    # would open the next user's account.
    # IS NOT NULL, since NULL is not in an empty list, and stands for all storefronts.
    bound = User.store_id.is_not(None) & User.store_id.not_in(kept)
    users = select(User.user_id).where(bound)
    db.session.execute(delete(Key).where(Key.user_id.in_(users)))
    db.session.execute(delete(User).where(bound))
    for model in (StoreText, Store):
        db.session.execute(delete(model).where(model.store_id.not_in(kept)))
