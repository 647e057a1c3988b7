"""Names of the span attributes that the wire protocol defines (docs/protocol.md, section 5)."""

from typing import Final

SCHEMA: Final = "tb.schema"
SCHEMA_VERSION: Final = "1"
REQUEST_TYPE: Final = "tb.request_type"
RUN: Final = "tb.run"

DECISION: Final = "tb.guard.decision"
OPERATION: Final = "tb.guard.operation"
COUNT: Final = "tb.guard.count"
REFUSED: Final = "tb.refused"

# Which carriers arrived with the flag, comma-joined out of `baggage`, `tracestate`, `header`.
CARRIERS: Final = "tb.carriers"
# Request scope a span was started in; its seal span says how many there were.
SCOPE: Final = "tb.scope"
SEALED_SPANS: Final = "tb.sealed_spans"
SEAL_SPAN_NAME: Final = "tracer-bullet seal"

# The harness's own spans carry this service name.
HARNESS_SERVICE: Final = "tracer-bullet"
# On the harness's step spans.
STEP: Final = "tb.step"

DECISIONS: Final = ("rolled_back", "suppressed", "shadowed", "stubbed", "forwarded", "denied", "allowed")
# On the seal span: the guards in force, as `sqlalchemy=rollback,httpx=stub`.
GUARDS: Final = "tb.guards"
# What the net below the guards saw and let pass: no decision, for no guard stood there.
UNGUARDED: Final = "unguarded"
# Feature flags evaluated under a span, as `key=variant,key=variant`.
FLAGS: Final = "tb.flags"
