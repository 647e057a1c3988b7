"""Vocabulary: what crosses a border between packages. Frozen dataclasses, stdlib only, no I/O."""

from tracer_bullet.model.context import (
    Context,
    FlagState,
    RequestType,
)
from tracer_bullet.model.event import (
    PhaseStarted,
    Progress,
    RunEnded,
    RunEvent,
    RunStarted,
)
from tracer_bullet.model.finding import (
    BulletVerdict,
    Check,
    Finding,
    Outcome,
    Severity,
    Verdict,
)
from tracer_bullet.model.graph import (
    Edge,
    Evidence,
    Latency,
    Node,
    NodeKind,
    Operation,
    ServiceGraph,
)
from tracer_bullet.model.run import RunManifest
from tracer_bullet.model.shot import Shot
from tracer_bullet.model.span import Span, SpanEvent, SpanKind, SpanLink, SpanStatus
from tracer_bullet.model.system import System
from tracer_bullet.model.trace import Gap, Trace

__all__ = [
    "BulletVerdict",
    "Check",
    "Context",
    "Edge",
    "Evidence",
    "Finding",
    "FlagState",
    "Gap",
    "Latency",
    "Node",
    "NodeKind",
    "Operation",
    "Outcome",
    "PhaseStarted",
    "Progress",
    "RequestType",
    "RunEnded",
    "RunEvent",
    "RunManifest",
    "RunStarted",
    "ServiceGraph",
    "Severity",
    "Shot",
    "Span",
    "SpanEvent",
    "SpanKind",
    "SpanLink",
    "SpanStatus",
    "System",
    "Trace",
    "Verdict",
]
