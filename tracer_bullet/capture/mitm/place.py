"""Where mitmproxy finds the addon. Writes a file."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Final

_SOURCE: Final = Path(__file__).with_name("addon.py")
_BLANK: Final = 'PYTHON = ""\n'


def addon_file(folder: Path | None = None, *, python: str = sys.executable) -> Path:
    """A copy of the addon that knows `python`, the one tracer-bullet is installed in; in the user's cache, or `folder`.

    The same content has the same name, and is written once. Raises OSError when it can be written nowhere.
    """
    text = _SOURCE.read_text(encoding="utf-8").replace(_BLANK, f"PYTHON = {python!r}\n", 1)
    name = f"tracer-bullet-{hashlib.sha256(text.encode()).hexdigest()[:12]}.py"
    path = (folder or _cache()) / name
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            file.write(text)
        Path(file.name).replace(path)
    return path


def _cache() -> Path:
    """As the XDG Base Directory Specification has it."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if Path(home).is_absolute() else Path.home() / ".cache") / "tracer-bullet"
