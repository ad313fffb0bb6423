"""The production server's settings: ``gunicorn wsgi:app``.

WEB_CONCURRENCY, WEB_THREADS and PORT change what an operator most often changes;
GUNICORN_CMD_ARGS changes anything.
"""

import os

bind = f"127.0.0.1:{os.environ.get('PORT', '8000')}"

workers = int(os.environ.get("WEB_CONCURRENCY", 2 * (os.cpu_count() or 1)))
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

# Otherwise gunicorn opens a control socket in the home directory.
control_socket_disable = True
