"""What the shop does with its statuses without HTTP."""

import email
from email.policy import default
from pathlib import Path

import pytest
from admin import add_packed
from conftest import add_customer, log_in, token_of
from orders import change_status

from models import Order, db
from order_statuses import find_status, list_statuses, update_status

EDIT = "/statuses/C"


@pytest.fixture
def manager(app, client):
    add_customer(app, "manager@shop.example", is_manager=True)
    log_in(client, "manager@shop.example")
    return client


def save(client, **fields):
    token = token_of(client.get(EDIT))
    return client.post(EDIT, data={**fields, "csrf_token": token})


def test_customer_gets_the_text_of_the_language_and_the_storefront(
    app, monkeypatch, tmp_path
):
    monkeypatch.setitem(app.config, "MAIL_FOLDER", str(tmp_path / "mail"))
    customer_id = add_customer(app, "customer@shop.example", lang_code="ru")
    with app.app_context():
        texts = {"email_subj": "готов", "email_header": "<b>Ждём вас</b>"}
        update_status(2, texts, lang_code="ru", store_id=1, caller="a test")
        update_status(4, {"params": {"notify": "N"}}, caller="a test")
        db.session.add(Order(id=1, customer_id=customer_id, shop_id=1, total=5))
        db.session.commit()
        for letter in ("C", "F", "Z"):  # complete; not notified; of no status
            change_status(db.session.get(Order, 1), letter)

    (file,) = Path(tmp_path / "mail" / "new").iterdir()
    message = email.message_from_bytes(file.read_bytes(), policy=default)
    assert message["To"] == "customer@shop.example"
    assert message["Subject"] == "Your order 1 готов"
    assert message.get_content() == "<b>Ждём вас</b>\n"


def test_manager_edits_a_status_on_a_page(app, manager):
    saved = save(manager, description="Done", email_subj="is done")

    assert saved.headers["Location"] == EDIT
    assert 'value="Done"' in manager.get(EDIT).text
    with app.app_context():
        assert find_status("C").email_subj == "is done"
        assert find_status("C", lang_code="ru").description == "Выполнен"


def test_page_shows_what_is_wrong(app, manager):
    page = save(manager, description=" ", email_subj="is done").text

    assert "Length must be between 1 and 255." in page
    with app.app_context():
        assert find_status("C").email_subj == "has been completed"


def test_page_is_for_managers(client, customer):
    log_in(client, "customer@shop.example")

    assert client.get(EDIT).status_code == 404


def test_job_adds_a_status_once(app):
    with app.app_context():
        before = len(list_statuses("O"))
        add_packed()
        add_packed()

        assert len(list_statuses("O")) == before + 1
