"""Why traces are bad: which errors and delays began where, who is to be told, and what bad traces have in common.

Must not guess: a blame by the caller's word alone is marked (`Cause.peer`), and a contrast that chance could explain
is left out. Sets are worked on as a whole, by the portable SQL of graph/sql/. docs/causes.md has the rules.
"""

from tracer_bullet.graph.causes.contrasts import find_contrasts
from tracer_bullet.graph.causes.examples import choose_examples
from tracer_bullet.graph.causes.find import find_causes

__all__ = ["choose_examples", "find_causes", "find_contrasts"]
