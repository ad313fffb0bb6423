"""The forms of the shop's managers."""

from flask_wtf import FlaskForm
from wtforms import StringField


class StatusForm(FlaskForm):
    description = StringField()
    email_subj = StringField()
