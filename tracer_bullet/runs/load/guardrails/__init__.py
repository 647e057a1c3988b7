"""Guardrails on the target's own health while it is under load: probes, metrics, customers' traces, error budgets."""

from tracer_bullet.runs.load.guardrails.opening import Watched, cannot_watch_customers, open_guardrails, watch_target
from tracer_bullet.runs.load.guardrails.watch import Guardrails

__all__ = ["Guardrails", "Watched", "cannot_watch_customers", "open_guardrails", "watch_target"]
