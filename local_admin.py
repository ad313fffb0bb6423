"""The local administrator: ``flask run`` without credentials, for its own user."""

import os
import re
import socket
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import click
from flask import Flask, Request, request
from werkzeug.serving import is_running_from_reloader

from . import auth, migrations
from .database import db

LOOPBACK_HOST = re.compile(r"(localhost|127(\.\d+){3}|\[::1\])(:\d+)?", re.IGNORECASE)
# A request with credentials or with proxy headers is not local.
REFUSED = re.compile("HTTP_(AUTHORIZATION|FORWARDED|VIA|X_REAL_IP|X_FORWARDED_.*)")
# Linux's tables of this machine's TCP connections, with the user of each.
CONNECTIONS = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
IPV4_IN_IPV6 = "0000000000000000FFFF0000"  # before an address, in the second table


def install(app: Flask) -> None:
    """Let the local administrator use *app*, and set up an SQLite database."""
    settings = app.extensions["order_statuses"].settings
    settings["ORDER_STATUSES_IDENTIFY"] = identify_local_admin
    if not is_running_from_reloader():
        click.echo(
            "WARNING: requests from this machine need no credentials. "
            "Never put a proxy in front of flask run.",
            err=True,
        )
    with app.app_context():
        if db.engine.name == "sqlite":
            migrations.initialise()


def identify_local_admin() -> auth.Caller:
    """Return the local administrator, or else the API user of the credentials."""
    if is_local_admin(request):
        return auth.Caller("local administrator")
    return auth.identify_user()


def is_local_admin(request: Request) -> bool:
    """Return whether *request* comes directly from this machine, without credentials.

    The owner of the socket is looked up last: reading a table takes 2 ms.
    """
    environ = request.environ
    return (
        is_loopback(environ.get("REMOTE_ADDR", ""))
        and LOOPBACK_HOST.fullmatch(environ.get("HTTP_HOST", "")) is not None
        and environ.get("SERVER_PROTOCOL") == "HTTP/1.1"  # older nginx sends 1.0
        and not any(map(REFUSED.fullmatch, environ))
        and not auth.is_foreign(request)
        and is_from_own_user(environ.get("werkzeug.socket"))
    )


def is_loopback(address: str) -> bool:
    try:
        return parse_address(address).is_loopback
    except ValueError:  # a Unix socket has none
        return False


def parse_address(address: str) -> IPv4Address | IPv6Address:
    return ip_address(address.removeprefix("::ffff:"))  # IPv4 written as IPv6


def is_from_own_user(connection: socket.socket | None) -> bool:
    """Return whether the client's socket belongs to the user that runs the service.

    Only the owner of the socket distinguishes a local client from a local nginx with a
    plain proxy_pass. Only Linux shows the owner: on other systems every user of this
    machine is accepted.
    """
    if sys.platform != "linux":
        return True
    if connection is None:
        return False
    for table in CONNECTIONS:
        # OSError: there is no such table, or the client is gone.
        with suppress(OSError), table.open() as rows:
            user = find_owner(rows, connection.getpeername(), connection.getsockname())
            if user == os.geteuid():
                return True
    return False


def find_owner(
    rows: Iterable[str], peer: tuple[Any, ...], own: tuple[Any, ...]
) -> int | None:
    """Return the id of the user whose socket at *peer* is connected to *own*.

    None if there is no such socket, or if it is closed: then its inode is 0, and so is
    its owner, whoever that was.
    """
    ends = [in_table(peer), in_table(own)]
    for row in rows:
        fields = row.split()
        found = [end.removeprefix(IPV4_IN_IPV6) for end in fields[1:3]]
        if found == ends and fields[9] != "0":
            return int(fields[7])
    return None


def in_table(address: tuple[Any, ...]) -> str:
    """Return the *address* of a socket as Linux's tables write it.

    >>> in_table(("::ffff:127.0.0.1", 5000, 0, 0))
    '0100007F:1388'
    """
    host, port = address[:2]
    words = struct.iter_unpack("=I", parse_address(host).packed)
    return "".join(f"{word:08X}" for (word,) in words) + f":{port:04X}"
