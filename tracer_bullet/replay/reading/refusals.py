"""What is never sent again, and why. Fails closed: a request that cannot be sent as it was recorded is not sent."""

from __future__ import annotations

import re
from typing import Final

from tracer_bullet.model.exchange import Exchange

CONNECT: Final = "connect"  # a tunnel, not a request
UPGRADE: Final = "upgrade"  # becomes another protocol
WRITE_WITHOUT_BODY: Final = "write-without-body"  # the source did not record its body
BODY_CUT: Final = "body-cut"
HOST_NOT_ALLOWED: Final = "host-not-allowed"  # its Host would be neither the target's nor in `limits.allow`
MALFORMED: Final = "malformed"  # method, target or a header could not be written as HTTP/1.1
NOT_SURVEYED: Final = "not-surveyed"  # nothing of its endpoint was there at the survey, so nothing armed it
REASONS: Final = (CONNECT, UPGRADE, WRITE_WITHOUT_BODY, BODY_CUT, HOST_NOT_ALLOWED, MALFORMED, NOT_SURVEYED)

# RFC 9110: tokens (5.6.2). RFC 9112, 3.2: no space in a target; control characters nowhere.
_METHOD: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_IN_TARGET: Final = re.compile(r"[\x00-\x20\x7f]|[^\x00-\xff]")
_NOT_IN_VALUE: Final = re.compile(r"[\x00\r\n]|[^\x00-\xff]")
_NAME: Final = r":?[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # a colon begins those that HTTP/2 makes up
_NAMES: Final = re.compile(rf"{_NAME}(?:\n{_NAME})*")


def refusal(exchange: Exchange) -> str:
    """Why it must not be sent; empty when it may be."""
    return exchange.unreplayable or (MALFORMED if is_malformed(exchange) else "")


def is_malformed(exchange: Exchange) -> bool:
    """Whether it could not be written: a line break in a header, a space in the target, an empty name."""
    request = exchange.request
    target = request.target
    if not (target.startswith("/") or (target == "*" and request.method == "OPTIONS")):
        return True
    if _METHOD.fullmatch(request.method) is None or _NOT_IN_TARGET.search(target):
        return True
    if not request.headers:
        return False
    names, values = zip(*request.headers, strict=True)
    if _NOT_IN_VALUE.search("\x01".join(values)):
        return True
    joined = "\n".join(names)
    return joined.count("\n") != len(names) - 1 or _NAMES.fullmatch(joined) is None
