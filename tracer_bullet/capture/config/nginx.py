"""A snippet for nginx: an access log in JSON lines."""

from __future__ import annotations

import re
from typing import Final

from tracer_bullet.errors import UsageError

NAME: Final = "tracer_bullet"
# Keys are nginx's names of what they hold, which is how the reader knows them. No cookies, no Authorization: they would
# lie on nginx's disk.
VARIABLES: Final = (
    "msec", "request_time", "request", "scheme", "http_host", "status",
    "request_length", "bytes_sent", "remote_addr", "connection", "connection_requests", "content_type",
    "content_length", "http_accept", "http_accept_encoding", "http_accept_language", "http_user_agent", "http_referer",
    "http_x_forwarded_for", "http_x_request_id", "http_idempotency_key", "http_upgrade", "http_connection",
    "http_traceparent", "http_tracestate",
)  # fmt: skip
_PATH: Final = re.compile(r"[^\s;{}'\"\\$#]+")

_HEAD: Final = """\
# nginx's access log as JSON lines, for `tracer-bullet capture import {path}`. Needs nginx 1.11.8 or later.
# The first two belong into `http {{}}`; access_log there, or into a `server` or `location`.
# No bodies: nginx has them only where it passes requests on ($request_body), and only those that fit into memory. Reads
# can be replayed, writes cannot; for them put `tracer-bullet capture proxy` before nginx, or behind it.
# Paths and queries stand in it as they were sent. $msec is the end of a request; less $request_time, its start.
"""
_MAP: Final = """\
map $http_x_tracer_bullet $tracer_bullet {
    "" "";
    default 1;  # a bullet, which is not imported; its token is not logged
}
"""


def nginx_log(path: str = "/var/log/nginx/tracer-bullet.log") -> str:
    """`map`, `log_format` and `access_log`. Raises UsageError TB946 for a path that nginx would read otherwise."""
    if _PATH.fullmatch(path) is None:
        raise UsageError("TB946", f"{path!r} is no path for nginx", cure="take one without spaces, quotes, $ and ;")
    pairs = [*((name, name) for name in VARIABLES), ("http_x_tracer_bullet", "tracer_bullet")]
    last = len(pairs) - 1
    lines = [f"""    '"{key}":"${variable}"{"," if n < last else "}"}'""" for n, (key, variable) in enumerate(pairs)]
    lines[0] = lines[0].replace("'", "'{", 1)
    body = "\n".join([f"log_format {NAME} escape=json", *lines])
    return f"{_HEAD.format(path=path)}{_MAP}{body};\naccess_log {path} {NAME};\n"
