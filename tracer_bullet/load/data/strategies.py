"""People's own strategies, out of their files and modules. Runs their code."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from hypothesis.strategies import SearchStrategy

from tracer_bullet.errors import UsageError
from tracer_bullet.workspace.mistakes import suggest


def load_strategy(text: str, folder: Path, where: str) -> SearchStrategy[Any]:
    """The strategy that `file.py:name` (relative to `folder`) or `package.module:name` names.

    A function without arguments is called, so that a composite can be named as it is.
    """
    place, colon, name = text.rpartition(":")
    if not colon or not place or not name.isidentifier():
        raise UsageError("TB1015", f"{text!r} names no strategy", where=where, cure="write file.py:name")
    module = _guarded(lambda: _module(place, folder, where), place, where)
    found = getattr(module, name, None)
    if found is None:
        raise UsageError("TB1015", f"{place} has no {name!r}", where=where, cure=suggest(name, vars(module)))
    if callable(found) and not isinstance(found, SearchStrategy):
        found = _guarded(found, text, where)
    if not isinstance(found, SearchStrategy):
        raise UsageError(
            "TB1015",
            f"{text} is {type(found).__name__}, not a Hypothesis strategy",
            where=where,
            cure="as orders = st.fixed_dictionaries({'sku': st.text()})",
        )
    return found


def _module(place: str, folder: Path, where: str) -> ModuleType:
    if not place.endswith(".py"):
        return importlib.import_module(place)
    path = folder / place
    if not path.is_file():
        raise UsageError("TB1015", f"there is no file {path}", where=where)
    spec = importlib.util.spec_from_file_location(f"tracer_bullet_data_{abs(hash(path)):x}", path)
    if spec is None or spec.loader is None:
        raise UsageError("TB1015", f"{path} is no Python file", where=where)
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # dataclasses look there
    sys.path.insert(0, str(path.parent))  # for what the file imports beside it
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module


def _guarded(call: Callable[[], Any], what: str, where: str) -> Any:
    """Run people's code: what it raises is a mistake of theirs, told with their line."""
    try:
        return call()
    except UsageError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        theirs = [f for f in frames[1:] if "site-packages" not in f.filename and not f.filename.startswith("<")]
        last = (theirs or frames)[-1]
        raise UsageError(
            "TB1015",
            f"{what} cannot be used: {type(error).__name__}: {error}",
            where=where,
            why=f"raised at {last.filename}:{last.lineno}",
        ) from error
