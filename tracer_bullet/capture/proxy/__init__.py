"""`capture proxy`: the real Envoy as a reverse proxy that tells us of what passes through it.

Posture: fails soft towards the traffic: what passes is never held up, changed or refused for being recorded, and a
reader that is slow or dead costs records and not requests. Fails closed towards the disk: tapped bytes go from Envoy's
memory to ours through a socket on loopback, and only what redaction has been through is written. docs/capture.md says
which of Envoy's ways to hand over a tap were tried, and why it is this one.
"""

from tracer_bullet.capture.proxy.events import ProxyCounts, ProxyEnded, ProxyEvent, ProxyReady, ProxyTapLost
from tracer_bullet.capture.proxy.run import run_proxy
from tracer_bullet.capture.proxy.spec import ProxySpec, parse_listen, parse_target

__all__ = [
    "ProxyCounts",
    "ProxyEnded",
    "ProxyEvent",
    "ProxyReady",
    "ProxySpec",
    "ProxyTapLost",
    "parse_listen",
    "parse_target",
    "run_proxy",
]
