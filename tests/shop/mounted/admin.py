"""The manager's page of a status, and the job that adds one."""

from flask import Blueprint, abort, redirect, render_template, url_for
from flask_login import current_user
from flask_wtf import FlaskForm
from marshmallow import ValidationError
from wtforms import StringField

from order_statuses import create_status, find_status, list_statuses, update_status

admin = Blueprint("admin", __name__)


class StatusForm(FlaskForm):
    description = StringField()
    email_subj = StringField()


@admin.route("/statuses/<letter>", methods=["GET", "POST"])
def edit_status(letter):
    status = find_status(letter)
    if status is None or not current_user.is_manager:
        abort(404)
    form = StatusForm(obj=status)
    if form.validate_on_submit():
        try:
            update_status(status.status_id, form.data, caller=current_user.email)
            return redirect(url_for(".edit_status", letter=letter))
        except ValidationError as error:
            for name, problems in error.messages.items():
                form[name].errors = problems
    return render_template("status.html", form=form)


def add_packed():
    if all(status.description != "Packed" for status in list_statuses("O")):
        packed = {"description": "Packed", "params": {"color": "#97cf4d"}}
        create_status(packed, caller="nightly job")
