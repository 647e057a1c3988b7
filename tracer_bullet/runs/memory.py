"""What keeps the process of a long run small: libraries that nobody asked for stay out, freed memory is given back."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

import pyarrow as pa


def keep_small() -> None:
    """Keep out what nobody asked for. For a process of our own alone."""
    _without_pandas()
    # Arrow's own allocator keeps what it once had: of each part of a table, 15 MB.
    pa.set_memory_pool(pa.system_memory_pool())


def give_back() -> None:
    """Hand to the system what was freed, where the C library holds it for later (glibc)."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


class _NoPandas(MetaPathFinder):
    """Says that there is no pandas."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        """See MetaPathFinder."""
        del path, target
        if fullname == "pandas":
            raise ModuleNotFoundError(fullname)
        return None


def _without_pandas() -> None:
    """Where pandas is installed, pyarrow loads it (40 MB) at its first array, to know a series when it is given one.

    It asks once, and remembers the answer; `to_pandas` asks again.
    """
    if "pandas" in sys.modules:
        return
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([0])  # without a type: it asks where it finds one, too
    finally:
        sys.meta_path.remove(finder)
