"""Objectives judged by spans, and inner objectives derived from outer ones (docs/slos.md)."""

from tracer_bullet.graph.slo.derive import Derivation, check_derivation, derive_objectives
from tracer_bullet.graph.slo.judge import judge_objectives

__all__ = ["Derivation", "check_derivation", "derive_objectives", "judge_objectives"]
