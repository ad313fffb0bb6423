"""The manager's page of a status, and the job that adds one."""

from flask import abort, redirect, render_template, request
from flask_login import current_user
from forms import StatusForm
from marshmallow import ValidationError

from order_statuses import create_status, find_status, list_statuses, update_status


def edit_status(letter):
    status = find_status(letter)
    if status is None or not current_user.is_manager:
        abort(404)
    form = StatusForm(obj=status)
    if form.validate_on_submit():
        try:
            update_status(status.status_id, form.data, caller=current_user.email)
            return redirect(request.path)
        except ValidationError as error:
            for name, problems in error.messages.items():
                form[name].errors = problems
    return render_template("status.html", form=form)


def add_packed():
    if all(status.description != "Packed" for status in list_statuses("O")):
        packed = {"description": "Packed", "params": {"color": "#97cf4d"}}
        create_status(packed, caller="nightly job")
