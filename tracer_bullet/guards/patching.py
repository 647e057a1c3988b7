"""Wrapping and unwrapping methods of guarded libraries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from wrapt import FunctionWrapper


@dataclass(frozen=True, slots=True)
class Patch:
    """One wrapped attribute, for taking it off again."""

    owner: Any
    name: str
    wrapper: Any
    inherited: bool


def wrap(owner: Any, name: str, wrapper: Callable[..., Any]) -> Patch:
    """Replace `owner.name` by `wrapper(wrapped, instance, args, kwargs)`."""
    inherited = name not in vars(owner)
    wrapped = FunctionWrapper(getattr(owner, name) if inherited else vars(owner)[name], wrapper)
    setattr(owner, name, wrapped)
    return Patch(owner, name, wrapped, inherited)


def unwrap(patch: Patch) -> None:
    """Give back the original; when somebody wrapped ours since, ours is taken out from under it."""
    current: Any = vars(patch.owner).get(patch.name)
    if _is_ours(current, patch):
        if patch.inherited:
            delattr(patch.owner, patch.name)
        else:
            setattr(patch.owner, patch.name, patch.wrapper.__wrapped__)
        return
    while hasattr(current, "__wrapped__"):
        if _is_ours(current.__wrapped__, patch):
            current.__wrapped__ = patch.wrapper.__wrapped__
            return
        current = current.__wrapped__


def _is_ours(found: Any, patch: Patch) -> bool:
    """OpenTelemetry's `unwrap` leaves ours bound to the class, when it was below its own."""
    return found is patch.wrapper or getattr(found, "_self_parent", None) is patch.wrapper
