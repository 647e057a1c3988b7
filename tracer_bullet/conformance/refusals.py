"""What must be refused: 403, nothing written, nobody called. Each function gives the fault, or an empty text."""

from __future__ import annotations

import random
import string
from collections.abc import Sequence
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tracer_bullet.conformance.probe import LIFETIME_S, RUN, Probe, Reply, Sent, carriers
from tracer_bullet.context.carriers import BAGGAGE, HEADER, TRACESTATE
from tracer_bullet.context.keys import SigningKey, public_jwk
from tracer_bullet.context.token import CLOCK_SKEW_S

_URN: Final = "urn:tracer-bullet:"
_ALPHABET: Final = string.ascii_letters + string.digits + "-_."
_EDITS: Final = 100
_NOBODY: Final = "no-service-has-this-name"


def no_token(probe: Probe) -> str:
    """The plain fields, as anybody can write them."""
    rows = ["request_type=TRACE", f"request_type=TRACE,tb-run={RUN}", f"tb-run={RUN}"]
    return _not_refused(probe, [[(BAGGAGE, row)] for row in rows], "no-token")


def flag_lost(probe: Probe) -> str:
    """Only the carrier without proof has come through."""
    return _not_refused(probe, [[(TRACESTATE, "tb=t")], [(TRACESTATE, "vendor=1,tb=t")]], "flag-lost")


def malformed(probe: Probe) -> str:
    """Neither texts nor unsigned tokens."""
    head, payload, signature = probe.token().split(".")
    unsigned = "eyJhbGciOiJub25lIn0"  # {"alg":"none"}
    tokens = ["abc", "a.b.c", f"{head}.{payload}", f"{head}.{payload}.", f"{unsigned}.{payload}.{signature}"]
    return _not_refused(probe, [_both(token) for token in tokens])


def forged(probe: Probe) -> str:
    """Another's signature under the known key's id."""
    other = SigningKey(probe.key.kid, Ed25519PrivateKey.generate())
    return _not_refused(probe, [_both(probe.token(other))], "bad-signature")


def unknown_key(probe: Probe) -> str:
    """A key that was never given to the service."""
    private = Ed25519PrivateKey.generate()
    other = SigningKey(public_jwk(private.public_key())["kid"], private)
    return _not_refused(probe, [_both(probe.token(other))], "unknown-key", "bad-signature")


def expired(probe: Probe) -> str:
    """Past its end and the clock skew."""
    return _not_refused(probe, [_both(probe.token(start_s=-LIFETIME_S - CLOCK_SKEW_S - 30))], "expired")


def not_yet_valid(probe: Probe) -> str:
    """Before its beginning and the clock skew."""
    return _not_refused(probe, [_both(probe.token(start_s=CLOCK_SKEW_S + 60))], "not-yet-valid")


def out_of_scope(probe: Probe) -> str:
    """For nobody, and for nothing that fits."""
    tokens = [probe.token(scope=[_NOBODY]), probe.token(scope=[f"{_NOBODY}*", "?"])]
    return _not_refused(probe, [_both(token) for token in tokens], "out-of-scope")


def ambiguous(probe: Probe) -> str:
    """Two of one kind that differ; and a customer's type beside a token."""
    token, other = probe.token(), probe.token(run="another-run")
    own = carriers(token)[BAGGAGE]
    rows: list[Sent] = [
        [(BAGGAGE, f"{own},tb-run=another-run")],
        [(BAGGAGE, f"{own},tb-token={other}")],
        [(BAGGAGE, f"{own},request_type=STANDARD")],
        [(BAGGAGE, own), (HEADER, other)],
    ]
    return _not_refused(probe, rows, "ambiguous")


def edited(probe: Probe) -> str:
    """One character of a true token is another."""
    chance, token = random.Random(), probe.token()  # noqa: S311  # no secret is made here
    rows = []
    for _ in range(_EDITS):
        at = chance.randrange(len(token))
        other = chance.choice(_ALPHABET.replace(token[at], ""))
        rows.append(_both(token[:at] + other + token[at + 1 :]))
    return _not_refused(probe, rows)


def problem(probe: Probe) -> str:
    """The body that says why."""
    reply = probe.send([(HEADER, "abc")])
    if reply.content_type != "application/problem+json":
        return f"the content type is {reply.content_type or 'absent'}"
    if not str(reply.body.get("type", "")).startswith(_URN):
        return f"type is {reply.body.get('type')!r}, not {_URN}<reason>"
    return "" if reply.body.get("status") == reply.status else f"status in the body is {reply.body.get('status')!r}"


def disabled(probe: Probe) -> str:
    """The kill switch is thrown at this address."""
    reply = probe.send(list(carriers(probe.token()).items()))
    if (reply.status, reply.body.get("type")) != (503, f"{_URN}disabled"):
        return f"a bullet was answered with {reply.status} {reply.body.get('type', '')}".strip()
    other = probe.send()
    return "" if (other.status, other.request_type) == (200, "STANDARD") else f"a customer was answered {other.status}"


def _both(token: str) -> Sent:
    return [(BAGGAGE, f"request_type=TRACE,tb-run={RUN},tb-token={token}"), (HEADER, token)]


def _not_refused(probe: Probe, rows: Sequence[Sent], *reasons: str) -> str:
    before = probe.written()
    for sent in rows:
        if fault := _served(probe.send(sent), reasons):
            return fault
    lasted = probe.written() - before
    return f"{lasted} writes lasted" if lasted else ""


def _served(reply: Reply, reasons: Sequence[str]) -> str:
    if reply.status != 403:
        return f"answered {reply.status} {reply.request_type}".strip()
    if reply.calls:
        return "it was refused, and others were called"
    said = str(reply.body.get("type", ""))
    if reasons and said.startswith(_URN) and said.removeprefix(_URN) not in reasons:
        return f"the reason is {said}, not {' or '.join(reasons)}"
    return ""
