"""All checks, in the order in which they run. A check gives the fault that it found; an empty text is honour."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tracer_bullet.conformance import admission, forwarding, refusals
from tracer_bullet.conformance.probe import Probe
from tracer_bullet.conformance.report import Level


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One claim about a service. `required`: at these levels it must be honoured; `optional`: it is only told."""

    name: str
    claim: str
    run: Callable[[Probe], str]
    required: tuple[Level, ...] = (Level.PARTICIPANT,)
    optional: tuple[Level, ...] = ()


_BOTH: Final = (Level.FORWARDER, Level.PARTICIPANT)
_F: Final = (Level.FORWARDER,)

CHECKS: Final = (
    Check(name="forwards-baggage", claim="the flag's baggage members go on", run=forwarding.baggage, required=_BOTH),
    Check(name="forwards-tracestate", claim="tracestate goes on", run=forwarding.tracestate, required=_BOTH),
    Check(name="forwards-header", claim="x-tracer-bullet goes on", run=forwarding.header, optional=_F),
    Check(name="keeps-trace", claim="the trace id goes on, sampled", run=forwarding.trace, required=_BOTH),
    Check(name="keeps-others", claim="others' baggage and tracestate go on", run=forwarding.others, required=_BOTH),
    Check(name="keeps-64-members", claim="64 members in 8,192 bytes go on", run=forwarding.full, required=_BOTH),
    Check(name="oversize-forwarded", claim="more than that, and the flag goes on", run=forwarding.oversize, required=(),
          optional=_BOTH),
    Check(name="plus-is-a-plus", claim="a plus in baggage goes on as one", run=forwarding.plus, required=(),
          optional=_BOTH),
    Check(name="forwards-lines", claim="the flag in the second baggage line goes on", run=forwarding.lines,
          required=_BOTH),
    Check(name="customer-unflagged", claim="a customer's call carries no flag", run=forwarding.customer,
          required=_BOTH),
    Check(name="customer-writes", claim="no flag: STANDARD, and it writes", run=admission.customer),
    Check(name="customer-baggage", claim="baggage that is nobody's flag: STANDARD", run=admission.customer_baggage),
    Check(name="bullet-is-trace", claim="a valid flag: TRACE, with its run", run=admission.bullet),
    Check(name="bullet-writes-nothing", claim="a bullet's write does not last", run=admission.no_write),
    Check(name="no-late-write", claim="nor does it come later", run=admission.no_late_write),
    Check(name="baggage-alone", claim="baggage alone: TRACE", run=admission.baggage_alone),
    Check(name="header-alone", claim="x-tracer-bullet alone: TRACE", run=admission.header_alone),
    Check(name="header-case", claim="header names in any letter case", run=admission.header_case),
    Check(name="several-baggage-lines", claim="all baggage lines are read", run=admission.several_lines),
    Check(name="percent-encoding", claim="values are percent-encoded", run=admission.percent_encoding),
    Check(name="oversize-is-no-customer", claim="baggage over the limits: TRACE or refused", run=admission.oversize),
    Check(name="flag-ends", claim="the next request on the connection is its own", run=admission.alternating),
    Check(name="flags-do-not-mix", claim="requests at once do not mix", run=admission.at_once),
    Check(name="refuses-no-token", claim="a flag without a token", run=refusals.no_token),
    Check(name="refuses-flag-lost", claim="tracestate alone", run=refusals.flag_lost),
    Check(name="refuses-malformed", claim="a token that is none", run=refusals.malformed),
    Check(name="refuses-forged", claim="a signature that does not hold", run=refusals.forged),
    Check(name="refuses-unknown-key", claim="a stranger's key", run=refusals.unknown_key),
    Check(name="refuses-expired", claim="an expired token", run=refusals.expired),
    Check(name="refuses-not-yet-valid", claim="a token of the future", run=refusals.not_yet_valid),
    Check(name="refuses-out-of-scope", claim="a token for other services", run=refusals.out_of_scope),
    Check(name="refuses-ambiguous", claim="members or tokens that differ", run=refusals.ambiguous),
    Check(name="refuses-edited", claim="100 random edits of a token", run=refusals.edited),
    Check(name="problem-json", claim="a refusal says why (RFC 9457)", run=refusals.problem),
)  # fmt: skip
"""The checks. Those whose claim is a noun are of refusals: 403, nothing written, nobody called."""

DISABLED: Final = Check(
    name="kill-switch", claim="switched off: bullets get 503, customers are served", run=refusals.disabled, required=(),
    optional=(Level.PARTICIPANT,),
)  # fmt: skip
"""Runs against a second address of the service, where the switch is thrown."""
