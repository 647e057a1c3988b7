"""From the workspace's `capture:` section to a redactor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tracer_bullet.capture.redaction.keys import load_key
from tracer_bullet.capture.redaction.pseudonyms import Pseudonyms
from tracer_bullet.capture.redaction.redactor import Redactor
from tracer_bullet.capture.redaction.rules import Action, Place, Rule, Rules
from tracer_bullet.workspace.capture import CaptureSpec


def make_redactor(spec: CaptureSpec, workspace: Path, environ: Mapping[str, str]) -> Redactor:
    """The redactor that a workspace's `capture:` section describes. Raises KeyFileError."""
    return Redactor(rules_of(spec), Pseudonyms(load_key(workspace / spec.key_file, environ)))


def rules_of(spec: CaptureSpec) -> Rules:
    """The rules of a `capture:` section."""
    return Rules(
        rules=tuple(
            Rule(place=Place(place), match=match, action=Action(rule.action), paths=rule.paths)
            for rule in spec.redact
            for place, match in [rule.place]
        ),
        emails=spec.emails,
        body_limit=spec.body_limit,
    )
