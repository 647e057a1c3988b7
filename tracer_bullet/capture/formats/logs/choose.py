"""Which server's language a log format is written in."""

from __future__ import annotations

import re
from typing import Final

from tracer_bullet.capture.formats.base import Format
from tracer_bullet.capture.formats.logs import apache, errors, nginx
from tracer_bullet.capture.formats.logs.apache import Apache
from tracer_bullet.capture.formats.logs.envoy import Envoy
from tracer_bullet.capture.formats.logs.nginx import Nginx

_ENVOY: Final = re.compile(r"%[A-Z][A-Z0-9_]+(?:\([^%]*\))?(?::\d+)?%")
_NGINX: Final = re.compile(r"\$\{?[a-z_]\w*", re.ASCII)
_APACHE: Final = re.compile(r"%[!<>\d,]*(?:\{[^}]*\})?\^?[a-zA-Z]")


def format_for(log_format: str, log_time: str = "") -> Format:
    """nginx, Apache or Envoy, by how the format is written.

    A nickname that both nginx and Apache have (`combined`) is told by `log_time`. Raises UsageError TB914 for such a
    one without, and TB915 for what is none of them.
    """
    name = log_format.strip()
    if name in nginx.NAMED and name in apache.NAMED:
        if not log_time:
            raise errors.time_unknown(f"the log format {name}")
        return Nginx() if log_time == "end" else Apache()
    if name in nginx.NAMED:
        return Nginx()
    if name in apache.NAMED:
        return Apache()
    if _ENVOY.search(log_format):
        return Envoy()
    if _NGINX.search(log_format):
        return Nginx()
    if _APACHE.search(log_format):
        return Apache()
    raise errors.format_unclear(log_format, "it is neither nginx's, nor Apache's, nor Envoy's")
