"""What the service's own call carries. Each function gives the fault, or an empty text."""

from __future__ import annotations

from tracer_bullet.conformance.probe import RUN, Probe, Reply, carriers
from tracer_bullet.context.carriers import (
    BAGGAGE,
    HEADER,
    MAX_BYTES,
    MAX_MEMBERS,
    REQUEST_TYPE_KEY,
    RUN_KEY,
    TOKEN_KEY,
    TRACESTATE,
    encode_member,
    read_claim,
)


def baggage(probe: Probe) -> str:
    """The three members of ours, with their values."""
    token = probe.token()
    reply = probe.send(list(carriers(token).items()))
    return _no_call(reply) or _members_missing(reply, token)


def tracestate(probe: Probe) -> str:
    """Our member of tracestate."""
    reply = probe.send(list(carriers(probe.token()).items()))
    members = _tracestate(reply)
    return _no_call(reply) or ("" if "tb=t" in members else f"tracestate was {', '.join(members) or 'absent'}")


def header(probe: Probe) -> str:
    """The header with the token."""
    token = probe.token()
    reply = probe.send(list(carriers(token).items()))
    if fault := _no_call(reply):
        return fault
    found = reply.forwarded(HEADER)
    return "" if found == [token] else f"{HEADER} {'was absent' if not found else 'came with another value'}"


def trace(probe: Probe) -> str:
    """The same trace id, a span id, and the sampled bit; for bullets and customers."""
    for sent in (list(carriers(probe.token()).items()), []):
        reply = probe.send(sent)
        if fault := _no_call(reply):
            return fault
        found = reply.forwarded("traceparent")
        parts = found[0].split("-") if len(found) == 1 else []
        if len(parts) < 4 or parts[1] != reply.trace_id:
            return f"traceparent was {found or 'absent'}, the trace is {reply.trace_id}"
        if not int(parts[3], 16) & 1:
            return "the sampled bit was cleared"
    return ""


def others(probe: Probe) -> str:
    """Members of other people, percent-encoded ones too, and another vendor's trace state."""
    theirs = [encode_member("session", "x1"), encode_member("note", "Füße, 50% = a;b")]
    reply = probe.send(list(carriers(probe.token(), theirs).items()))
    if fault := _no_call(reply):
        return fault
    found = reply.members()
    for member in theirs:
        if found.get(member.key) != member.value:
            return f"{member.key} was {found.get(member.key)!r}, sent as {member.value!r}"
    return "" if "vendor=1" in _tracestate(reply) else "tracestate of another vendor was dropped"


def plus(probe: Probe) -> str:
    """A plus is a plus: W3C Baggage is no form encoding."""
    reply = probe.send([(BAGGAGE, "sum=a+b/c==")])
    found = reply.members().get("sum")
    return _no_call(reply) or ("" if found == "a+b/c==" else f"a+b/c== came as {found!r}")


def full(probe: Probe) -> str:
    """As much as W3C Baggage guarantees."""
    token = probe.token()
    room = MAX_BYTES - len(carriers(token)[BAGGAGE])
    size = room // (MAX_MEMBERS - 3)
    theirs = [encode_member(f"m{n:02}", "v" * (size - len("m00=,"))) for n in range(MAX_MEMBERS - 3)]
    reply = probe.send(list(carriers(token, theirs).items()))
    if fault := _no_call(reply) or _members_missing(reply, token):
        return fault
    kept = reply.members()
    lost = [m.key for m in theirs if kept.get(m.key) != m.value]
    return f"{len(lost)} of {len(theirs)} other members were lost" if lost else ""


def oversize(probe: Probe) -> str:
    """Over the limit a hop may drop members; ours come first."""
    token = probe.token()
    lines = carriers(token)
    lines[BAGGAGE] += "".join(f",m{n:03}={'v' * 60}" for n in range(200))
    reply = probe.send(list(lines.items()))
    return _no_call(reply) or _members_missing(reply, token)


def lines(probe: Probe) -> str:
    """Several lines are one list."""
    token = probe.token()
    rows = carriers(token)
    reply = probe.send([(BAGGAGE, "session=x1"), *rows.items()])
    return _no_call(reply) or _members_missing(reply, token)


def customer(probe: Probe) -> str:
    """Nothing of ours comes from nothing."""
    probe.send(list(carriers(probe.token()).items()))  # what the bullet before leaves must not show
    reply = probe.send([(BAGGAGE, "session=x1"), (TRACESTATE, "vendor=1")])
    if fault := _no_call(reply):
        return fault
    claim = read_claim(reply.forwarded(BAGGAGE), reply.forwarded(TRACESTATE), reply.forwarded(HEADER))
    return "" if claim is None else f"it carried the flag in {', '.join(claim.carriers)}"


def _no_call(reply: Reply) -> str:
    if not 200 <= reply.status < 300:
        return f"the service answered {reply.status} {reply.body.get('type', '')}".strip()
    return "" if len(reply.calls) == 1 else f"the service made {len(reply.calls)} calls to forward_to, not one"


def _members_missing(reply: Reply, token: str) -> str:
    found = reply.members()
    sent = {REQUEST_TYPE_KEY: "TRACE", RUN_KEY: RUN, TOKEN_KEY: token}
    lost = [key for key, value in sent.items() if found.get(key) != value]
    return f"baggage lost or changed {', '.join(lost)}" if lost else ""


def _tracestate(reply: Reply) -> list[str]:
    return [part.strip() for line in reply.forwarded(TRACESTATE) for part in line.split(",")]
