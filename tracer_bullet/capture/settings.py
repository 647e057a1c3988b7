"""From the workspace's `capture:` section to what is recorded, and whose it is. Redaction: `redaction.settings`."""

from __future__ import annotations

from collections import defaultdict

from tracer_bullet.capture.redaction import Redactor
from tracer_bullet.capture.selection import Selection
from tracer_bullet.capture.sessions import SessionRules, Sessions
from tracer_bullet.workspace.capture import CaptureSpec


def session_rules(spec: CaptureSpec) -> SessionRules:
    """Where a client's key is looked for: in all the usual places, or in those that the settings name alone."""
    if not spec.session:
        return SessionRules()
    named: defaultdict[str, list[str]] = defaultdict(list)
    for key in spec.session:
        kind, _, name = key.partition(":")
        named[kind].append(name)
    headers = [name.lower() for name in named["header"]]
    return SessionRules(
        headers=tuple(h for h in headers if h != "authorization"),
        cookies=tuple(named["cookie"]),
        queries=tuple(named["query"]),
        authorization="authorization" in headers or bool(named["jwt"]),
        claims=tuple(named["jwt"]) or SessionRules().claims,
    )


def sessions_of(spec: CaptureSpec, redactor: Redactor) -> Sessions:
    """What gives exchanges their sessions, under the redactor's key."""
    return Sessions(redactor.pseudonyms.plain, session_rules(spec))


def selection_of(spec: CaptureSpec, redactor: Redactor) -> Selection:
    """What is recorded at all: which paths, and which share of sessions."""
    return Selection(exclude_paths=spec.exclude_paths, sample=spec.sample, share=redactor.pseudonyms.share)
