# For flask run on a developer's machine: serve wsgi.py, and make requests without
# credentials that come from this very machine those of the local administrator.
FLASK_APP=wsgi.py
ORDER_STATUSES_LOCAL_ADMIN=yes
