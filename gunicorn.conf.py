"""The production server's settings: ``gunicorn wsgi:app``.

WEB_CONCURRENCY, WEB_THREADS and PORT change what an operator most often changes;
GUNICORN_CMD_ARGS changes anything.
"""

import logging
import os
import socket
import struct
import time
from contextlib import suppress

bind = f"127.0.0.1:{os.environ.get('PORT', '8000')}"

# One a core served most, of one, two or four workers with one or four threads each.
workers = int(os.environ.get("WEB_CONCURRENCY", max(2, os.cpu_count() or 1)))
threads = int(os.environ.get("WEB_THREADS", "1"))

# A worker that answers nothing for so long is replaced; one that is told to stop
# finishes what it has.
timeout = 30
graceful_timeout = 30

# Not preloaded: a reload (SIGHUP) then takes new code and settings, and no worker can
# inherit another's database connection.
preload_app = False

# One line a request, without the user's name, which a client could fill with lines;
# the request line is as it was sent, undecoded.
accesslog = "-"
access_log_format = '%(h)s %(t)s "%(r)s" %(s)s %(B)s bytes %(M)s ms'

# What the service itself logs looks like what gunicorn does.
logging.basicConfig(
    format="[%(asctime)s] [%(process)d] [%(levelname)s] %(message)s",
    datefmt="%Y-%m-%d %H:%M:%S %z",
)

# Nothing here depends on what a proxy says of the client: no header is believed.
forwarded_allow_ips = ""

# Otherwise gunicorn opens a control socket in the home directory.
control_socket_disable = True

# A client that sends nothing for so long in the middle of a request is not waited for.
PAUSE = 10  # seconds
# How much of a refused body is taken for its sender's sake.
DRAIN_BYTES = 64 * 1024 * 1024
DRAIN_SECONDS = 5


def pre_fork(server, worker):
    """Limit the pauses on connections, which inherit what their listener has."""
    pause = struct.pack("ll", PAUSE, 0)
    for listener in worker.sockets:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, pause)


def post_request(worker, req, environ, resp):
    """Take the rest of a refused body: most clients only then read the answer."""
    end = time.monotonic() + DRAIN_SECONDS
    req.unreader.sock.settimeout(DRAIN_SECONDS)
    left = DRAIN_BYTES
    with suppress(Exception):  # the sender is gone, or its chunks are broken
        while left > 0 and time.monotonic() < end and not req.body.failed:
            taken = req.body.read(64 * 1024)
            left = left - len(taken) if taken else 0
