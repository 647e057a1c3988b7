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
from tracer_bullet.capture.selection import Selection
from tracer_bullet.capture.sessions import SessionRules
from tracer_bullet.capture.settings import selection_of, session_rules, sessions_of
from tracer_bullet.workspace.capture import CaptureSpec
from tracer_bullet.workspace.settings import find_workspace, load_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureRules:
    """How traffic is recorded here: `spec` as it stands in tracer-bullet.yaml, or the defaults where there is none."""

    spec: CaptureSpec
    redactor: Redactor

    @property
    def sessions(self) -> SessionRules:
        """Where a client's key is looked for."""
        return session_rules(self.spec)

    @property
    def selection(self) -> Selection:
        """Which paths, and which share of sessions."""
        return selection_of(self.spec, self.redactor)

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
    return CaptureRules(spec=spec, redactor=redactor)


@contextmanager
def open_recorder(path: Path, rules: CaptureRules, *, created_by: str) -> Iterator[Recorder]:
    """A recorder that writes into a new or an interrupted archive; at the end everything taken is in it.

    Raises ArchiveError (TB92x).
    """
    is_new = not path.exists()
    with ArchiveWriter(path, created_by=created_by, rules=rules.redactor.fingerprint) as writer:
        sessions = sessions_of(rules.spec, rules.redactor)
        recorder = Recorder(writer, rules.redactor, sessions=sessions, selection=rules.selection)
        try:
            yield recorder
        finally:
            recorder.close()
            recorded = writer.appended
    if is_new and not recorded:
        path.unlink()  # nothing came: an empty archive would be in the way of the next try
