"""Guardrails on the target's own health while it is under load: probes, metrics, customers' traces, error budgets."""

from tracer_bullet.runs.load.guardrails.watch import Guardrails, cannot_watch_customers, open_guardrails

__all__ = ["Guardrails", "cannot_watch_customers", "open_guardrails"]
