"""mitmproxy's flows into an archive, for laptops and where TLS has to be opened.

mitmproxy pins its dependencies tightly, so the addon asks of mitmproxy's Python nothing but the standard library: it
hands its flows, in mitmproxy's own format, through a pipe to a process of ours, which redacts and writes. No flow is on
the disk before. Posture: a slow or dead recording costs records, and never a request.
"""

from tracer_bullet.capture.mitm.place import addon_file
from tracer_bullet.capture.mitm.receiver import Received, receive

__all__ = ["Received", "addon_file", "receive"]
