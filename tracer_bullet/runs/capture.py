"""What captures have in common: a workspace's rules for redaction and sessions, and an archive to write into."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tracer_bullet.capture.archive import ArchiveWriter
from tracer_bullet.capture.recorder import Recorder
from tracer_bullet.capture.redaction import Redactor
from tracer_bullet.capture.redaction.settings import make_redactor
from tracer_bullet.capture.sessions import SessionRules, Sessions
from tracer_bullet.workspace.capture import CaptureSpec
from tracer_bullet.workspace.settings import find_workspace, load_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureRules:
    """How traffic is recorded here: `spec` as it stands in tracer-bullet.yaml, or the defaults where there is none."""

    spec: CaptureSpec
    redactor: Redactor
    sessions: SessionRules

    def pseudonym(self, text: str) -> str:
        """The keyed name of a session."""
        return self.redactor.pseudonyms.plain(text)


def capture_spec(start: Path, environ: Mapping[str, str]) -> CaptureSpec:
    """The `capture:` section of the workspace around `start`, or the defaults. Raises WorkspaceError."""
    workspace = find_workspace(start)
    return CaptureSpec() if workspace is None else load_settings(workspace, environ).value.capture


def capture_rules(start: Path, environ: Mapping[str, str]) -> CaptureRules:
    """The rules of the workspace around `start`. Raises WorkspaceError, KeyFileError."""
    spec = capture_spec(start, environ)
    redactor = make_redactor(spec, find_workspace(start) or start, environ)
    return CaptureRules(spec=spec, redactor=redactor, sessions=session_rules(spec))


def session_rules(spec: CaptureSpec) -> SessionRules:
    """Where a client's key is looked for; without any in the settings, in all the usual places."""
    if not spec.session:
        return SessionRules()
    named: dict[str, list[str]] = {}
    for key in spec.session:
        kind, _, name = key.partition(":")
        named.setdefault(kind, []).append(name)
    headers = [name.lower() for name in named.get("header", [])]
    return SessionRules(
        headers=tuple(h for h in headers if h != "authorization"),
        cookies=tuple(named.get("cookie", [])),
        authorization="authorization" in headers or "jwt" in named,
        claims=tuple(named.get("jwt", ["sub"])),
    )


@contextmanager
def open_recorder(path: Path, rules: CaptureRules, *, created_by: str) -> Iterator[Recorder]:
    """A recorder that writes into a new or an interrupted archive; at the end everything taken is in it.

    Raises ArchiveError (TB92x).
    """
    with ArchiveWriter(path, created_by=created_by, rules=rules.redactor.fingerprint) as writer:
        sessions = Sessions(rules.pseudonym, rules.sessions)
        recorder = Recorder(writer, rules.redactor, sessions=sessions)
        try:
            yield recorder
        finally:
            recorder.close()
