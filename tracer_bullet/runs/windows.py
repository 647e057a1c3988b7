"""Whether a run may load its target now, and when it must end. Fails closed: every target that it goes to is asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tracer_bullet.errors import StoppedError
from tracer_bullet.model.replay import StopEvent
from tracer_bullet.runs.job import Target, server_of
from tracer_bullet.workspace.load import Located
from tracer_bullet.workspace.settings import Settings
from tracer_bullet.workspace.windows import Command, WindowsSpec, closes, judge_windows, show_moment


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetWindows:
    """The windows of one target; `where` they stand."""

    target: str
    where: str
    spec: WindowsSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """The windows that bind a run of `command`. `override`: why they shall not, for the manifest; empty: they do."""

    command: Command
    of: tuple[TargetWindows, ...] = ()
    override: str = ""

    def check(self, now: datetime) -> None:
        """Raises StoppedError TB1065 (exit code 4) when a target may not be loaded now."""
        if self.override:
            return
        for windows in self.of:
            refusal = judge_windows(windows.spec, now, command=self.command)
            if refusal is not None:
                raise StoppedError(
                    "TB1065",
                    f"{windows.target} may not be loaded now",
                    where=windows.where,
                    why=refusal.text,
                    cure='wait, or --override-window "why it must be now", which the run\'s manifest keeps',
                )

    def foretell(self, now: datetime, planned_s: float) -> str:
        """What is to be said before a run that would last `planned_s`: that a window is overridden, or closes before
        its end; else empty."""
        if self.override:
            closed = [w for w in self.of if judge_windows(w.spec, now, command=self.command) is not None]
            names = ", ".join(w.target for w in closed or self.of)
            return f"windows of {names} are overridden: {self.override}" if names else ""
        ends = [
            (closing.at, f"{windows.target} closes at {show_moment(closing.at)}, before the end: {closing.rule}")
            for windows in self.of
            if (closing := closes(windows.spec, now, timedelta(seconds=planned_s), command=self.command)) is not None
        ]
        return min(ends)[1] if ends else ""

    def reason(
        self, began_s: Callable[[], float], clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> Callable[[], StopEvent | None]:
        """What stops the sending when a window closes. `began_s`: when the schedule began, by `time.monotonic`."""

        def look() -> StopEvent | None:
            now = clock()
            for windows in () if self.override else self.of:
                refusal = judge_windows(windows.spec, now, command=self.command)
                if refusal is not None:
                    detail = f"{windows.target} may no longer be loaded: {refusal.text}"
                    return StopEvent(reason="guardrail", detail=detail, after_s=max(0.0, time.monotonic() - began_s()))
            return None

        return look


def windows_of(
    settings: Located[Settings], target: Target, *, command: Command, urls: Collection[str] = (), override: str = ""
) -> Windows:
    """The windows of the target, and of every other one whose address is that of the target or one of `urls`: another
    name is no way round them. `override` is what --override-window says; empty: nothing."""
    servers = {server_of(url) for url in (target.url, *urls)}
    found = tuple(
        TargetWindows(
            target=name, where=f"{settings.file}:{settings.line(f'targets.{name}.windows')}", spec=spec.windows
        )
        for name, spec in settings.value.targets.items()
        if spec.windows is not None and (name == target.name or server_of(spec.url) in servers)
    )
    return Windows(command=command, of=found, override=override.strip())
