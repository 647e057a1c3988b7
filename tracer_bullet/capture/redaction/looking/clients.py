"""Addresses of clients: the headers in which proxies hand them on, and where they stand in a line. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Final

# RFC 7239, and what proxies, CDNs and clouds send in its place.
CLIENT_HEADERS: Final = frozenset(
    [
        "ali-cdn-real-ip",
        "cf-connecting-ip",
        "cf-connecting-ipv6",
        "cf-pseudo-ipv4",
        "client-ip",
        "cloudfront-viewer-address",
        "do-connecting-ip",
        "fastly-client-ip",
        "fly-client-ip",
        "forwarded",
        "forwarded-for",
        "incap-client-ip",
        "remote-addr",
        "true-client-ip",
        "wl-proxy-client-ip",
        "x-appengine-user-ip",
        "x-azure-clientip",
        "x-azure-socketip",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-envoy-external-address",
        "x-forwarded",
        "x-forwarded-for",
        "x-nf-client-connection-ip",
        "x-original-forwarded-for",
        "x-original-remote-addr",
        "x-originating-ip",
        "x-proxyuser-ip",
        "x-real-ip",
        "x-remote-addr",
        "x-remote-ip",
        "x-sucuri-clientip",
        "x-user-ip",
        "x-vercel-forwarded-for",
        "x-vercel-proxied-for",
    ]
)
# What pseudonyms are in: no client of the internet has such an address (RFC 1112, section 4; RFC 9637).
OURS_4: Final = ipaddress.ip_network("240.0.0.0/4")
OURS_6: Final = ipaddress.ip_network("3fff::/20")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# A port may stand behind an IPv4 address, and behind the bracket of an IPv6 one.
_CANDIDATE: Final = re.compile(
    r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}(?![\w.])|[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]*:[0-9A-Fa-f.:]*(?![\w.:]))"
)
# CloudFront writes `2001:db8:0:0:0:0:0:1:443`.
_PORT_BEHIND: Final = re.compile(r"((?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}):\d{1,5}")


def addresses_in(line: str) -> Iterator[tuple[int, int, Address]]:
    """(start, end, address) of each IP address in a header's value that is not a pseudonym of ours, in order."""
    for match in _CANDIDATE.finditer(line):
        text = match[0]
        if (ported := _PORT_BEHIND.fullmatch(text)) is not None:
            text = ported[1]
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            continue
        if not is_ours(address):
            yield match.start(), match.start() + len(text), address


def is_ours(address: Address) -> bool:
    """Whether an address is a pseudonym."""
    return address in (OURS_4 if address.version == 4 else OURS_6)
