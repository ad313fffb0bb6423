"""The settings of the API in a shop, which are read at the mount."""

from typing import Any

import pytest
from flask import Flask

from order_statuses.api import create_blueprint
from order_statuses.auth import Caller
from order_statuses.reading import OrderStatus, find_status, list_statuses
from order_statuses.writing import replace_stores, status_deleted

from .commands import run
from .small_shop import OWNER, STATUSES, build_shop, db, mount, open_shop

pytestmark = pytest.mark.one_database


def test_settings_of_the_shop_stay_as_they_were(database: str) -> None:
    """And those of the API as they were given."""
    given = {
        "ORDER_STATUSES_LANGUAGES": "ru,en",
        "ORDER_STATUSES_REQUIRE_IF_MATCH": "no",
    }
    shop = build_shop(database, **given)
    before = dict(shop.config)
    mount(shop)
    visitor = shop.test_client()
    shown = visitor.get(f"{STATUSES}/1").get_json()
    updated = visitor.put(f"{STATUSES}/1", data="description=x")
    with shop.app_context():
        db.engine.dispose()

    assert (shown["lang_code"], updated.status_code) == ("ru", 200)
    assert dict(shop.config) == before


@pytest.mark.parametrize(
    "name", ["ORDER_STATUSES_IDENTIFY", "ORDER_STATUSES_COUNT_ORDERS"]
)
def test_function_of_the_shop_is_a_callable(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        mount(build_shop(**{name: "shop.views.function"}))


def test_functions_of_the_shop_may_be_asynchronous(database: str) -> None:
    async def identify() -> Caller:
        return OWNER

    async def count_orders(_: OrderStatus) -> int:
        return orders.pop()

    async def note(_: Flask, caller: Caller, **__: Any) -> None:
        noted.append(caller)

    orders, noted = [0, 1], list[Caller]()
    hooks = {"IDENTIFY": identify, "COUNT_ORDERS": count_orders}
    settings = {f"ORDER_STATUSES_{name}": hook for name, hook in hooks.items()}
    with open_shop(database, **settings) as shop:
        visitor = shop.test_client()
        with status_deleted.connected_to(note, shop):
            deleted = [visitor.delete(f"{STATUSES}/3").status_code for _ in range(2)]

    assert (deleted, noted) == ([400, 204], [OWNER])


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ORDER_STATUSES_LANGAUGES", "is ORDER_STATUSES_LANGUAGES meant?"),
        ("ORDER_STATUSES_LIST_FORM", "only the standalone service has it."),
    ],
)
def test_unknown_setting_stops_the_mount(name: str, hint: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} is not a setting here; ") as stopped:
        mount(build_shop(**{name: "x"}))

    assert str(stopped.value).endswith(hint)


def test_second_mount_with_other_settings_is_refused() -> None:
    shop = build_shop()
    mount(shop)
    shop.config["ORDER_STATUSES_TYPES"] = "O"

    with pytest.raises(ValueError, match="ORDER_STATUSES_TYPES has changed since"):
        shop.register_blueprint(create_blueprint("again"), url_prefix="/again")


CHANGED = "ORDER_STATUSES_LANGUAGES has changed in app.config since the API was mounted"


def use(shop: Flask, how: str) -> object:
    """Use the API in one of the ways that there are."""
    if how == "command":
        return run(shop, "users", catch_exceptions=False)
    if how in {"GET", "POST", "OPTIONS"}:
        shop.testing = True  # errors come through
        return shop.test_client().open(STATUSES, method=how, json={"description": "x"})
    with shop.app_context():
        if how == "list_statuses":
            return list_statuses("O")
        if how == "find_status":
            return find_status("P")
        replace_stores({2: "Second store"})
        db.session.commit()
        return None


WAYS = ["GET", "POST", "OPTIONS", "list_statuses", "find_status"]
WAYS += ["replace_stores", "command"]


@pytest.mark.parametrize("how", WAYS)
def test_setting_that_changes_after_the_mount_is_an_error(
    shop: Flask, how: str
) -> None:
    use(shop, how)
    shop.config["ORDER_STATUSES_LANGUAGES"] = "en,de"

    with pytest.raises(RuntimeError, match=CHANGED):
        use(shop, how)


def test_setting_that_is_taken_away_after_the_mount_is_an_error(database: str) -> None:
    with open_shop(database, ORDER_STATUSES_LANGUAGES="en,ru") as shop:
        del shop.config["ORDER_STATUSES_LANGUAGES"]

        with pytest.raises(RuntimeError, match=CHANGED):
            use(shop, "GET")


def test_setting_may_be_set_to_the_same_value_again(database: str) -> None:
    with open_shop(database, ORDER_STATUSES_LANGUAGES=["en", "ru"]) as shop:
        shop.config["ORDER_STATUSES_LANGUAGES"] = ["en", "ru"]

        assert use(shop, "list_statuses")
