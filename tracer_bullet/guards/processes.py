"""What a bullet hands to the pools of `multiprocessing` and `concurrent.futures`, and to processes of its own.

A `ThreadPool`'s threads are older than the work they get, so the scope goes with the work, as it does
with `ThreadPoolExecutor` (context/threads.py). It cannot go into another process: what is done there
is nobody's, and is for the net to tell or to refuse.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import wrapt

from tracer_bullet.context.scope import live_scope
from tracer_bullet.context.threads import bind
from tracer_bullet.guards import net
from tracer_bullet.guards.patching import Patch, unwrap, wrap

# Each of these takes the function first; all that pools offer ends in one of them.
_POOL: Final = ("apply_async", "_map_async", "imap", "imap_unordered")
_patches: list[Patch] = []
_installed = False


def install() -> None:
    """Patch them, as soon as they are imported."""
    global _installed  # noqa: PLW0603  # patches are a process's
    _installed = True
    wrapt.register_post_import_hook(_patch_pool, "multiprocessing.pool")
    wrapt.register_post_import_hook(_patch_process, "multiprocessing.process")
    wrapt.register_post_import_hook(_patch_executor, "concurrent.futures.process")


def uninstall() -> None:
    """Give back the originals."""
    global _installed  # noqa: PLW0603
    _installed = False
    while _patches:
        unwrap(_patches.pop())


def _once(owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
    """Import hooks cannot be taken back: they may come late, and again."""
    if _installed and not any(p.owner is owner and p.name == name for p in _patches):
        _patches.append(wrap(owner, name, wrapper))


def _patch_pool(module: Any) -> None:
    for name in _POOL:
        _once(module.Pool, name, _submit)


def _patch_process(module: Any) -> None:
    _once(module.BaseProcess, "start", _leave)


def _patch_executor(module: Any) -> None:
    _once(module.ProcessPoolExecutor, "submit", _leave)


def _submit(wrapped: Callable[..., Any], pool: Any, args: Any, kwargs: Any) -> Any:
    scope = live_scope()
    if scope is None:
        return wrapped(*args, **kwargs)
    from multiprocessing.pool import ThreadPool  # noqa: PLC0415  # imported, since this is one of its pools

    if not isinstance(pool, ThreadPool):
        return _leave(wrapped, pool, args, kwargs)
    if args:
        return wrapped(bind(scope, args[0]), *args[1:], **kwargs)
    return wrapped(**{**kwargs, "func": bind(scope, kwargs["func"])})


def _leave(wrapped: Callable[..., Any], _of: Any, args: Any, kwargs: Any) -> Any:
    scope = live_scope()
    if scope is not None:
        net.seen(scope, net.PROCESS)
    return wrapped(*args, **kwargs)
