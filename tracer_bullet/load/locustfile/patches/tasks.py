"""Locust's task sets: each execution of a task is a trace."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from locust.user.task import DefaultTaskSet, TaskSet

from tracer_bullet.load.locustfile.plugin import Plugin
from tracer_bullet.load.locustfile.traces import TaskRun, task_run


def patch(plugin: Plugin) -> None:
    """`execute_task` is where all kinds of task sets come through."""
    for kind in (TaskSet, DefaultTaskSet):
        kind.execute_task = _traced(plugin, kind.execute_task)  # type: ignore[method-assign]


def _traced(plugin: Plugin, original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def execute_task(self: Any, task: Any) -> Any:
        if hasattr(task, "tasks"):
            return original(self, task)  # a nested set, which may run for ever: its own tasks are traces
        outer = task_run.get()
        run = TaskRun(f"{type(self.user).__name__}.{getattr(task, '__name__', 'task')}")
        token = task_run.set(run)
        try:
            return original(self, task)
        finally:
            task_run.reset(token)
            if run.trace is not None:
                plugin.traces.end(run.trace, now_ns=plugin.now_ns())
            if outer is not None:
                outer.last_sent_ns = max(outer.last_sent_ns, run.last_sent_ns)

    return execute_task
