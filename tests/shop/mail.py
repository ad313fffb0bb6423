"""The shop's e-mails, which its mail server takes from a folder."""

from email.message import EmailMessage
from mailbox import Maildir

from flask import current_app


def send(to, subject, html):
    message = EmailMessage()
    message["To"], message["Subject"] = to, subject
    message.set_content(html, subtype="html")
    Maildir(current_app.config["MAIL_FOLDER"]).add(message)
