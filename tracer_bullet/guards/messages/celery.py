"""Guard for Celery: a worker runs a bullet's task as the bullet's or not at all, and whoever sent one does not hang.

What a task is sent by is guarded below, in kombu. Here: the tracer that runs every task in
every pool; the results of tasks that were not sent; and Celery's result backends, which keep
its own books and are not the bullet's.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

import wrapt

from tracer_bullet.context.scope import Scope, entered, live_scope
from tracer_bullet.guards.config import Sink
from tracer_bullet.guards.messages.consume import Delivery, delivery, is_plain
from tracer_bullet.guards.messages.kombu import TASK, WITHHELD
from tracer_bullet.guards.patching import Patch, unwrap, wrap
from tracer_bullet.guards.registry import Guard

_patches: list[Patch] = []
# The consumer keeps a name of its own for the tracer's factory, from the time of its import.
_FACTORIES: Final = ("celery.app.trace", "celery.worker.consumer.consumer")


def _patch() -> None:
    from celery import result  # noqa: PLC0415  # only where the service uses it
    from celery.app import trace  # noqa: F401, PLC0415
    from celery.backends import asynchronous, base, rpc  # noqa: PLC0415

    _patches.extend(wrap(sys.modules[name], "build_tracer", _build) for name in _FACTORIES if name in sys.modules)
    _patches.append(wrap(result.AsyncResult, "_get_task_meta", _meta))
    _patches.append(wrap(result.AsyncResult, "get", _get))
    _patches.extend(wrap(result.ResultSet, name, _join) for name in ("join", "join_native"))
    for owner, name in (
        (base.Backend, "store_result"),
        (base.Backend, "get_task_meta"),
        (asynchronous.AsyncBackendMixin, "_add_pending_result"),
        (rpc.RPCBackend, "store_result"),
        (rpc.RPCBackend, "on_task_call"),
    ):
        _patches.append(wrap(owner, name, _keep_books))
    wrapt.register_post_import_hook(_patch_redis, "celery.backends.redis")


def _patch_redis(module: Any) -> None:
    """Its results come by subscription."""
    if _patches and not isinstance(vars(module.RedisBackend)["on_task_call"], wrapt.FunctionWrapper):
        _patches.append(wrap(module.RedisBackend, "on_task_call", _keep_books))


def _unpatch() -> None:
    factory: Any = vars(sys.modules[_FACTORIES[0]])["build_tracer"]
    original = factory.__wrapped__
    for name in _FACTORIES[1:]:
        module = sys.modules.get(name)
        if module is not None and vars(module).get("build_tracer") is factory:  # imported since, with ours
            vars(module)["build_tracer"] = original
    while _patches:
        unwrap(_patches.pop())


GUARD = Guard(name="celery", module="celery", versions=">=5.3,<6", sink=Sink.MESSAGES, patch=_patch, unpatch=_unpatch)


def _build(wrapped: Callable[..., Any], _module: Any, args: Any, kwargs: Any) -> Any:
    """The tracer of one task; an eager one runs inside its caller, and is whatever that is."""
    tracer = wrapped(*args, **kwargs)
    if kwargs.get("eager"):
        return tracer
    task = args[1] if len(args) > 1 else kwargs["task"]

    def traced(uuid: str, call_args: Any, call_kwargs: Any, request: Any = None) -> Any:
        headers = request if isinstance(request, Mapping) else vars(request) if request is not None else {}
        if is_plain(headers):
            return tracer(uuid, call_args, call_kwargs, request)
        with delivery(headers, name=f"{task.name} receive") as found:
            if found.refused:
                return _refuse(task, uuid, found)
            if found.scope is not None:
                found.scope.state[TASK] = uuid
            return tracer(uuid, call_args, call_kwargs, request)

    return traced


def _refuse(task: Any, uuid: str, found: Delivery) -> Any:
    """Revoke a task: who waits for its result learns why, and the worker takes the message off the queue.

    Not by Reject, for which the worker's main process calls the task's errbacks: as a customer's.
    """
    from billiard.einfo import ExceptionInfo  # noqa: PLC0415
    from celery.app.trace import TraceInfo, trace_ok_t  # noqa: PLC0415
    from celery.exceptions import Ignore  # noqa: PLC0415
    from celery.states import IGNORED  # noqa: PLC0415

    reason = f"tracer bullet refused ({found.reason}): {found.detail}"
    task.backend.mark_as_revoked(uuid, reason, store_result=not task.ignore_result)
    try:
        raise Ignore(reason)
    except Ignore as ignored:
        return trace_ok_t(ExceptionInfo(internal=True), TraceInfo(IGNORED, ignored), 0.0, None)


def _keep_books(wrapped: Callable[..., Any], _backend: Any, args: Any, kwargs: Any) -> Any:
    """A result that is stored or read is Celery's bookkeeping, in a bullet too."""
    if live_scope() is None:
        return wrapped(*args, **kwargs)
    with entered(None):
        return wrapped(*args, **kwargs)


def _get(wrapped: Callable[..., Any], result: Any, args: Any, kwargs: Any) -> Any:
    scope = live_scope()
    if scope is None or not _is_withheld(scope, result):
        return wrapped(*args, **kwargs)
    callback = kwargs.get("callback")
    return None if callback is None else callback(result.id, None)


def _meta(wrapped: Callable[..., Any], result: Any, args: Any, kwargs: Any) -> Any:
    scope = live_scope()
    if scope is None or not _is_withheld(scope, result):
        return wrapped(*args, **kwargs)
    return {"task_id": result.id, "status": "SUCCESS", "result": None, "traceback": None, "children": []}


def _join(wrapped: Callable[..., Any], results: Any, args: Any, kwargs: Any) -> Any:
    scope = live_scope()
    if scope is None or not _is_withheld(scope, results):
        return wrapped(*args, **kwargs)
    callback = kwargs.get("callback")
    if callback is None:
        return [None for _ in results.results]
    for one in results.results:
        callback(one.id, None)
    return None


def _is_withheld(scope: Scope, result: Any) -> bool:
    """Whether a result waits for a task that was not sent: itself, one before it in a chain, or one of a group."""
    withheld = scope.state.get(WITHHELD)
    if not withheld:
        return False
    node = result
    while node is not None:
        if getattr(node, "id", None) in withheld:
            return True
        if any(_is_withheld(scope, one) for one in getattr(node, "results", None) or ()):
            return True
        node = getattr(node, "parent", None)
    return False
