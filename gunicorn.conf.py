"""The production server's settings: ``gunicorn wsgi:app``.

WEB_CONCURRENCY, WEB_THREADS and PORT change what an operator most often changes;
GUNICORN_CMD_ARGS changes anything.
"""

import logging
import os
import sys
import time
from multiprocessing import get_context

from gunicorn.errors import HaltServer


def read_number(name, default, least, most):
    """Return the environment variable *name*; end gunicorn if it is out of range."""
    value = os.environ.get(name, str(default)).strip()
    if value.isdecimal() and least <= int(value) <= most:
        return int(value)
    print(f"{name} must be a whole number from {least} to {most}.", file=sys.stderr)
    sys.exit(3)


bind = f"127.0.0.1:{read_number('PORT', 8000, 0, 65535)}"

# One worker per core had the best throughput.
workers = read_number("WEB_CONCURRENCY", max(2, os.cpu_count() or 1), 1, 1000)
threads = read_number("WEB_THREADS", 1, 1, 1000)

timeout = 30  # a sync worker that is busy for longer is replaced
graceful_timeout = 30  # for a stopped worker to finish its requests

# One line per request. User and key are the authenticated ones, never what a client
# claims; the request line is logged as it was sent, undecoded.
accesslog = "-"
access_log_format = (
    "%(h)s %(t)s %({order_statuses.caller}e)s %({order_statuses.key}e)s "
    '"%(r)s" %(s)s %(M)s ms %({x-request-id}o)s'
)

# The service's own log lines look like gunicorn's, with the request's id.
logging.basicConfig(
    format="[%(asctime)s] [%(process)d] [%(levelname)s] [%(request_id)s] %(message)s",
    datefmt="%Y-%m-%d %H:%M:%S %z",
)
logging.getLogger("order_statuses").setLevel(logging.INFO)  # a line for each write


def prepare_record(record):
    """Add the request's id to a log *record*, and keep its message on one line."""
    from flask import request  # here, since the master loads nothing of the service

    environ = request.environ if request else {}
    record.request_id = environ.get("order_statuses.request_id", "-")
    record.msg, record.args = "\\n".join(record.getMessage().splitlines()), ()
    return True


for handler in logging.root.handlers:
    handler.addFilter(prepare_record)

# The service uses no X-Forwarded-* header, so gunicorn trusts nobody's.
forwarded_allow_ips = ""

# Otherwise gunicorn opens a control socket in the home directory.
control_socket_disable = True


def load(app):
    from click import ClickException

    try:
        service = app.load()
    except ClickException as error:  # such as a wrong setting
        error.show()
        sys.exit(error.exit_code)
    if "order_statuses" in getattr(service, "extensions", ()):
        from order_statuses import database

        with service.app_context():
            logging.getLogger("order_statuses").info("Database: %s", database.name())


def load_in_child(server):
    """Load the application in a child process; return the child's exit status.

    Otherwise each worker would print the same error, and gunicorn could end with a
    traceback. The master itself loads nothing, so that SIGHUP loads changed code.
    """
    child = get_context("fork").Process(target=load, args=(server.app,))
    child.start()
    child.join()
    return child.exitcode


def on_starting(server):
    if status := load_in_child(server):
        if server.pidfile:
            server.pidfile.unlink()
        sys.exit(status)


def on_reload(server):
    if status := load_in_child(server):
        raise HaltServer("The application does not start.", status)


DRAIN_SECONDS = 5


def post_request(worker, req, environ, resp):
    """Read the rest of a refused body: most clients read nothing before all is sent."""
    if not (resp and resp.headers_sent):  # there is no response to be read
        return
    connection, body = environ["gunicorn.socket"], environ["wsgi.input"]
    end = time.monotonic() + DRAIN_SECONDS
    try:
        connection.settimeout(DRAIN_SECONDS)
        while body.read(64 * 1024):
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError("too long")
            connection.settimeout(left)
        connection.settimeout(None)
    except Exception as error:
        worker.log.info("The rest of a refused body was not read: %r", error)
