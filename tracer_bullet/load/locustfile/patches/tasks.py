"""Locust's users and task sets: each execution of a task is a trace, and so is what a user does outside of tasks."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from locust.user.task import DefaultTaskSet, TaskSet
from locust.user.users import User

from tracer_bullet.load.locustfile.plugin import Plugin
from tracer_bullet.load.locustfile.traces import TaskRun, task_run


def patch(plugin: Plugin) -> None:
    """`execute_task` is where all kinds of task sets come through."""
    for kind in (TaskSet, DefaultTaskSet):
        kind.execute_task = _traced(plugin, kind.execute_task)  # type: ignore[method-assign]
    User.__init__ = _placed(plugin, User.__init__)  # type: ignore[method-assign]
    User.run = _lived(plugin, User.run)  # type: ignore[method-assign,misc]  # final for subclasses


def _placed(plugin: Plugin, original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def init(self: Any, environment: Any) -> None:
        original(self, environment)
        if self.host is None:
            self.host = plugin.terms.target

    return init


def _lived(plugin: Plugin, original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def run(self: Any) -> Any:
        life = TaskRun(type(self).__name__, is_task=False)
        token = task_run.set(life)
        try:
            return original(self)
        finally:
            task_run.reset(token)
            _end(plugin, life)

    return run


def _traced(plugin: Plugin, original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def execute_task(self: Any, task: Any) -> Any:
        outer = task_run.get()
        if hasattr(task, "tasks") or (outer is not None and plugin.is_open() and plugin.traces.mode == "user"):
            return original(self, task)  # a nested set may run for ever: its own tasks are traces
        if outer is not None:
            _end(plugin, outer)
        run = TaskRun(f"{type(self.user).__name__}.{getattr(task, '__name__', 'task')}", is_task=True)
        token = task_run.set(run)
        try:
            return original(self, task)
        finally:
            task_run.reset(token)
            _end(plugin, run)

    return execute_task


def _end(plugin: Plugin, run: TaskRun) -> None:
    if run.trace is not None:
        plugin.traces.end_run(run)
