"""Snippets for Envoy: an access log, a tap, a mirror of the traffic. YAML with a word on where it belongs."""

from __future__ import annotations

from typing import Any, Final

import yaml

from tracer_bullet.capture.config.envoy_pieces import access_log, tap_filter, tap_output
from tracer_bullet.errors import UsageError

MIRROR_HEADER: Final = "x-mirrored"

_LOG: Final = """\
# Envoy's access log as JSON lines, for `tracer-bullet capture import {source}`.
# Belongs into the HttpConnectionManager, beside `http_filters`. Needs Envoy 1.14 or later.
# No bodies, and few headers: reads can be replayed, writes cannot. Paths and queries stand in it as they were sent.
"""
_TAP: Final = """\
# Envoy's tap: each request with its answer, bodies up to {limit} bytes, in a file of its own named {prefix}_<id>.pb,
# for `tracer-bullet capture import {folder}`. Belongs into `http_filters`, first. Needs Envoy 1.33 or later, for times.
# UNREDACTED: passwords and tokens lie in these files as they were sent. Let {folder} be on a tmpfs that only Envoy and
# the import can read, import often, and delete what was imported. `tracer-bullet capture proxy` needs no files.
# Envoy calls its tap experimental. A body is kept in Envoy's memory until its request has ended.
"""
_MIRROR: Final = """\
# A copy of {percent:g} % of the requests, to the cluster {cluster}; what it answers is thrown away.
# Belongs into a route's `route`, beside its `cluster`. Needs Envoy 1.36: before, a copy cannot be marked alone.
# A copy is a second request: behind a mirror WRITES HAPPEN TWICE. So mirror only to what may be written to, or to a
# guarded service ({header}: "1" tells a copy from an original).
"""


def envoy_log(path: str = "/dev/stdout") -> str:
    """An access log that the reader of Envoy's JSON logs understands without being told its format."""
    return _LOG.format(source="-" if path == "/dev/stdout" else path) + _yaml({"access_log": [access_log(path)]})


def envoy_tap(prefix: str, body_limit: int) -> str:
    """A tap into files. Raises UsageError TB946 for a prefix without a folder, or a limit that Envoy cannot hold."""
    folder = prefix.rpartition("/")[0]
    if not folder:
        raise UsageError(
            "TB946", f"{prefix!r} names no folder", cure="write a path and the beginning of a name, as /run/taps/tap"
        )
    if not 0 <= body_limit < 1 << 32:
        raise UsageError("TB946", f"a body limit of {body_limit} bytes", cure="take 0 to 4294967295")
    sink = {"format": "PROTO_BINARY", "file_per_tap": {"path_prefix": prefix}}
    wanted = tap_filter({"static_config": tap_output(sink, body_limit)})
    return _TAP.format(prefix=prefix, folder=folder, limit=body_limit) + _yaml({"http_filters": [wanted]})


def envoy_mirror(cluster: str, percent: float = 100.0) -> str:
    """A mirror whose copies are marked. Raises UsageError TB946 for a share that is none."""
    if not 0 < percent <= 100:
        raise UsageError("TB946", f"{percent:g} % of the requests", cure="take more than 0, up to 100")
    mutation = {
        "append": {
            "header": {"key": MIRROR_HEADER, "value": "1"},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        }
    }
    policy: dict[str, Any] = {
        "cluster": cluster,
        "runtime_fraction": {"default_value": {"numerator": round(percent * 10_000), "denominator": "MILLION"}},
        # Else Host would read `<host>-shadow` (Envoy's issue 9094).
        "disable_shadow_host_suffix_append": True,
        "trace_sampled": False,
        "request_headers_mutations": [mutation],
    }
    said = _MIRROR.format(percent=percent, cluster=cluster, header=MIRROR_HEADER)
    return said + _yaml({"request_mirror_policies": [policy]})


def _yaml(value: dict[str, Any]) -> str:
    return str(yaml.safe_dump(value, sort_keys=False, width=120))
