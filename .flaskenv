# For flask run on a developer's machine: serve wsgi.py, and let requests that come
# from this very machine in without credentials.
FLASK_APP=wsgi.py
ORDER_STATUSES_DEVELOPMENT_DOOR=yes
