"""Traces of requests that failed: claimed from the receiver while they are fresh, and shown as examples.

They stay out of the span table: it holds traces that were chosen by chance, and percentiles of services with more
failures among them would say more failures than there were.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import pyarrow as pa

from tracer_bullet.model import Analysis, ExampleTrace, Span
from tracer_bullet.model.shots import NOT_SENT, SHOT_ERRORS, ShotBatch
from tracer_bullet.traces import TraceSource, read_table, spans_to_table, write_table
from tracer_bullet.traces.ids import in_share, trace_hex
from tracer_bullet.workspace.runs import RunFolder, read_json, write_json

# Errors of requests that were sent; a trace of the others has nothing in it.
_SENT: Final = frozenset(i for i, error in enumerate(SHOT_ERRORS) if error and error not in NOT_SENT)
WHY: Final = "failed"


@dataclass
class FailedTraces:
    """Claims the traces of requests that failed: the first `each` of a step and an error, `most` in all.

    `share` of traces are kept anyway; `trace_share` of them are sampled, and the rest can never come.
    """

    source: TraceSource
    share: float
    trace_share: float = 1.0
    each: int = 5
    most: int = 30
    claimed: dict[str, str] = field(default_factory=dict)
    """Trace id → what failed, as `unexpected` or `reset`."""
    _seen: dict[tuple[int, int], int] = field(default_factory=dict)

    def shots(self, batch: ShotBatch) -> None:
        """Shots that came back; within seconds, or their spans are no longer there to be claimed."""
        found: list[str] = []
        for row, error in enumerate(batch.error):
            if error not in _SENT or len(self.claimed) >= self.most:
                continue
            low, kind = batch.trace_lo[row], (batch.endpoint[row], error)
            trace_id = trace_hex(batch.trace_hi[row], low)
            if trace_id in self.claimed or in_share(low, self.share) or not in_share(low, self.trace_share):
                continue
            if self._seen.setdefault(kind, 0) < self.each:
                self._seen[kind] += 1
                self.claimed[trace_id] = SHOT_ERRORS[error]
                found.append(trace_id)
        claim = getattr(self.source, "claim", None)  # trace servers keep what they keep
        if found and claim is not None:
            claim(found)

    async def spans(self) -> list[Span]:
        """What has come of them. Raises UnreachableError when the source is away."""
        found = await self.source.fetch(list(self.claimed)) if self.claimed else {}
        return [span for spans in found.values() for span in spans]


def keep_examples(folder: RunFolder, spans: list[Span]) -> int:
    """Add these traces to the examples of an analysed run; how many there were. Raises WorkspaceError when it is not
    analysed."""
    analysis = read_json(folder.analysis, Analysis)
    known = {example.trace_id for example in analysis.examples}
    new = [span for span in spans if span.trace_id not in known]
    if not new:
        return 0
    ids = list(dict.fromkeys(span.trace_id for span in new))
    there = [read_table(folder.examples)] if folder.examples.exists() else []
    write_table(pa.concat_tables([*there, spans_to_table(new)]), folder.examples)
    examples = (*analysis.examples, *(ExampleTrace(trace_id=trace_id, why=WHY) for trace_id in ids))
    write_json(folder.analysis, replace(analysis, examples=examples), indent=None)
    return len(ids)
