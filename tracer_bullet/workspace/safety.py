"""What keeps load from doing harm: guardrails on the target's own health. docs/load-safety.md is its reference."""

from __future__ import annotations

from tracer_bullet.workspace.sending import GuardrailsSpec


class LoadGuardrailsSpec(GuardrailsSpec):
    """When sending stops, exit code 4."""
