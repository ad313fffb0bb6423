"""The production server's settings: ``gunicorn wsgi:app``.

WEB_CONCURRENCY, WEB_THREADS and PORT change what an operator most often changes;
GUNICORN_CMD_ARGS changes anything.
"""

import logging
import os
import time
from contextlib import suppress

from gunicorn.http import parser
from gunicorn.http.errors import NoMoreData
from gunicorn.http.unreader import SocketUnreader

bind = f"127.0.0.1:{os.environ.get('PORT', '8000')}"

# One a core served most, of one, two or four workers with one or four threads each.
workers = int(os.environ.get("WEB_CONCURRENCY", max(2, os.cpu_count() or 1)))
threads = int(os.environ.get("WEB_THREADS", "1"))

timeout = 30  # of a worker that does nothing; it is replaced
graceful_timeout = 30  # of a worker that is told to stop; it finishes what it has

# One line a request. The user and the key are those that were authenticated, never what
# a client claims; the request line is as it was sent, undecoded.
accesslog = "-"
access_log_format = (
    "%(h)s %(t)s %({order_statuses.caller}e)s %({order_statuses.key}e)s "
    '"%(r)s" %(s)s %(M)s ms %({x-request-id}o)s'
)

# What the service itself logs looks like what gunicorn does, with the request's id.
logging.basicConfig(
    format="[%(asctime)s] [%(process)d] [%(levelname)s] [%(request_id)s] %(message)s",
    datefmt="%Y-%m-%d %H:%M:%S %z",
)
logging.getLogger("order_statuses").setLevel(logging.INFO)  # a line for each write


def complete(record):
    """Add the id of the request to a *record*, and keep its message on one line."""
    from flask import request  # here, since the master does not need it

    environ = request.environ if request else {}
    record.request_id = environ.get("order_statuses.request_id", "-")
    record.msg, record.args = "\\n".join(record.getMessage().splitlines()), ()
    return True


for handler in logging.root.handlers:
    handler.addFilter(complete)

# Nothing here depends on what a proxy says of the client: no header is believed.
forwarded_allow_ips = ""

# Otherwise gunicorn opens a control socket in the home directory.
control_socket_disable = True

# How long a worker waits for a client, all pauses together: while a request arrives,
# with a second more for each 128 KiB, and then for the rest of a refused body. Even for
# a body of 1 MiB that is less than *timeout*: no client can have a worker replaced.
ARRIVAL_SECONDS = 10
BYTES_A_SECOND = 128 * 1024
DRAIN_SECONDS = 5


class TimedUnreader(SocketUnreader):
    """Read from a client, and wait for it no more than *seconds*."""

    seconds = ARRIVAL_SECONDS

    def chunk(self, *args):
        if self.seconds <= 0:
            raise NoMoreData
        started = time.monotonic()
        self.sock.settimeout(self.seconds)
        try:
            received = super().chunk(*args)
        except TimeoutError as error:
            raise NoMoreData from error
        finally:
            self.sock.settimeout(None)
            self.seconds -= time.monotonic() - started
        self.seconds += len(received) / BYTES_A_SECOND
        return received


# gunicorn has no setting for this, and no hook before it reads the headers.
parser.SocketUnreader = TimedUnreader


def post_request(worker, req, environ, resp):
    """Take the rest of a refused body: most clients only then read the answer."""
    end = time.monotonic() + DRAIN_SECONDS
    with suppress(Exception):  # the sender is gone or late, or its chunks are broken
        while not req.body.failed and (left := end - time.monotonic()) > 0:
            req.unreader.seconds = left
            if not req.body.read(64 * 1024):
                break
    req.unreader.seconds = ARRIVAL_SECONDS  # for the connection's next request


def worker_exit(server, worker):
    """Have one worker alone say that the application does not start.

    A second one would end gunicorn with a traceback and status 1 instead of 3.
    """
    if not worker.booted and (worker.age - 1) % server.cfg.workers:
        # Until the master says stop, or is gone.
        while worker.alive and worker.ppid == os.getppid():
            time.sleep(0.1)
        os._exit(0)
