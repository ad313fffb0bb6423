# For flask run on a developer's machine: serve wsgi.py, and need no credentials of
# requests that come from this very machine.
FLASK_APP=wsgi.py
ORDER_STATUSES_LOCAL_ADMIN=yes
