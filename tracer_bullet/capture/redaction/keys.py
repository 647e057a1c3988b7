"""The capture key, from the environment or a file that only its owner can read. Does I/O, as nothing else here does.

Whoever has the key can tell whether a guessed value is behind a pseudonym, so it is kept like a password; whoever
loses it can no longer join new captures with old ones.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tracer_bullet.errors import KeyFileError

KEY_VARIABLE: Final = "TRACER_BULLET_CAPTURE_KEY"
_FEWEST: Final = 16


def load_key(path: Path, environ: Mapping[str, str]) -> bytes:
    """The key in TRACER_BULLET_CAPTURE_KEY, or else in the file, which is made (mode 0600) when it is not there.

    Raises KeyFileError TB931 (cannot be read, written, or is too short) or TB932 (others can read it).
    """
    said = environ.get(KEY_VARIABLE, "").strip()
    if said:
        return _long_enough(said, KEY_VARIABLE)
    try:
        with contextlib.suppress(FileExistsError):
            _make(path)
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        cure = f"make the folder writable, or give the key in {KEY_VARIABLE}"
        raise KeyFileError("TB931", "no capture key", where=str(path), why=str(error), cure=cure) from None
    if mode & 0o077:
        why = f"its mode is {mode:04o}"
        cure = f"chmod 600 {path}"
        raise KeyFileError("TB932", "the capture key can be read by others", where=str(path), why=why, cure=cure)
    return _long_enough(text, str(path))


def _make(path: Path) -> None:
    """A new key in a new file, whole or not at all: a link, since another process may be making one too."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32) + "\n")
        os.link(temporary, path)
    finally:
        temporary.unlink()


def _long_enough(text: str, where: str) -> bytes:
    if len(text) < _FEWEST:
        why = f"it has {len(text)} characters, {_FEWEST} are the fewest"
        raise KeyFileError("TB931", "no usable capture key", where=where, why=why, cure="take 32 random bytes in hex")
    return text.encode("utf-8", "surrogateescape")
