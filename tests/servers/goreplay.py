"""The real GoReplay, built once from its Go module into `.tools`. It needs libpcap's headers (libpcap-dev)."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

VERSION = "1.3.2"
TOOLS = Path(__file__).parents[2] / ".tools"
PROGRAM = TOOLS / f"goreplay-{VERSION}"
_BUILD_TIMEOUT_S = 900.0


def build_goreplay() -> Path:
    """The program; skips the calling test when it cannot be had."""
    if PROGRAM.exists():
        return PROGRAM
    if shutil.which("go") is None:
        pytest.skip("goreplay: no go to build it with")
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / "goreplay.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test workers come here at once
        if not PROGRAM.exists():
            _build()
    return PROGRAM


def _build() -> None:
    folder = TOOLS / "goreplay-build"
    try:
        subprocess.run(
            ["go", "install", f"github.com/buger/goreplay@v{VERSION}"],
            check=True,
            capture_output=True,
            timeout=_BUILD_TIMEOUT_S,
            env={**os.environ, "GOBIN": str(folder)},
        )
        (folder / "goreplay").replace(PROGRAM)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", b"") or str(error).encode()
        pytest.skip(f"goreplay: it cannot be built: {said[-300:]!r}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
