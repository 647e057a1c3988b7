"""axe-core, which checks a page for accessibility: installed once into `.tools/axe` by npm."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).parent / "axe"
HOME = Path(__file__).parents[2] / ".tools" / "axe"
_FILES = ("package.json", "package-lock.json", ".npmrc")
_INSTALL_TIMEOUT_S = 300.0


class AxeUnavailableError(Exception):
    """npm is not here, or cannot reach its registry: tests skip."""


def axe_source() -> str:
    """The script's text. Raises AxeUnavailableError."""
    key = "".join((SOURCE / name).read_text() for name in _FILES)
    marker, script = HOME / "made-of", HOME / "node_modules" / "axe-core" / "axe.min.js"
    HOME.parent.mkdir(exist_ok=True)
    with (HOME.parent / "axe.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test workers come here at once
        if not marker.exists() or marker.read_text() != key:
            shutil.rmtree(HOME, ignore_errors=True)
            _install()
            marker.write_text(key)
    return script.read_text(encoding="utf-8")


def _install() -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise AxeUnavailableError("npm is not installed")
    HOME.mkdir()
    for name in _FILES:
        shutil.copy(SOURCE / name, HOME / name)
    try:
        subprocess.run([npm, "ci"], cwd=HOME, check=True, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise AxeUnavailableError(f"npm could not install axe-core: {error.stderr or error}") from None
