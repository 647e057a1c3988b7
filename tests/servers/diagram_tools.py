"""The formats' own tools, fetched once into `.tools`: D2 and Backstage by npm, Structurizr by Maven, and Graphviz.

D2 comes as its compiler in WebAssembly (npm's `@terrastruct/d2`), the same code as the `d2` program.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent / "diagrams"
TOOLS = Path(__file__).parents[2] / ".tools"
NPM = TOOLS / "diagrams"
JARS = TOOLS / "structurizr"
MERMAID = "12.3.0"
_FETCH_TIMEOUT_S = 300.0
_RUN_TIMEOUT_S = 120.0


class ToolUnavailableError(Exception):
    """A program or a package cannot be had here: tests skip."""


def d2(sources: Sequence[str]) -> list[dict[str, Any]]:
    """What D2 compiles of each: `shapes` and `connections`, or `error`."""
    return _node("d2.mjs", list(sources))


def backstage(documents: Sequence[Sequence[dict[str, Any]]]) -> list[list[str]]:
    """What Backstage's validators say of each entity; "" when it is valid."""
    return _node("backstage.mjs", [list(some) for some in documents])


def structurizr(sources: Sequence[str]) -> list[dict[str, Any]]:
    """What Structurizr reads of each: `elements`, `relationships` and `views`, or `error`."""
    pom = str(HERE / "pom.xml")
    _fetch(JARS, "structurizr-dsl-4.1.0.jar", "mvn", "-q", "-B", "-f", pom, "dependency:copy-dependencies",
           f"-DoutputDirectory={JARS}")  # fmt: skip
    _need("java")
    return _run(["java", "-cp", f"{JARS}/*", str(HERE / "Structurizr.java")], list(sources))


def vizceral_script() -> Path:
    """Vizceral as it is loaded by a page."""
    _install()
    return NPM / "node_modules" / "vizceral" / "dist" / "vizceral.js"


def mermaid_script() -> Path:
    """Mermaid as it is loaded by a page."""
    folder = TOOLS / "mermaid"
    script = Path("node_modules") / "mermaid" / "dist" / "mermaid.min.js"
    _fetch(folder, str(script), "npm", "install", "--prefix", str(folder), *_QUIET, f"mermaid@{MERMAID}")
    return folder / script


def graphviz(source: str, form: str) -> str:
    """What `dot` makes of it."""
    _need("dot")
    done = subprocess.run(["dot", f"-T{form}"], input=source.encode(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert not done.stderr, done.stderr.decode()
    return done.stdout.decode()


_QUIET = ("--no-audit", "--no-fund", "--ignore-scripts")


def _install() -> None:
    NPM.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "package.json", NPM / "package.json")
    _fetch(NPM, "node_modules/vizceral/package.json", "npm", "install", "--prefix", str(NPM), *_QUIET)


def _node(script: str, value: Any) -> Any:
    _install()
    _need("node")
    return _run(["node", str(HERE / script), str(NPM)], value)


def _run(command: list[str], value: Any) -> Any:
    sent = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    done = subprocess.run(command, input=sent, capture_output=True, check=False, timeout=_RUN_TIMEOUT_S)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return json.loads(done.stdout)


def _need(program: str) -> None:
    if shutil.which(program) is None:
        raise ToolUnavailableError(f"{program} is not installed")


def _fetch(folder: Path, product: str, *command: str) -> None:
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / "diagrams.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test workers come here at once
        if (folder / product).exists():
            return
        _need(command[0])
        folder.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=_FETCH_TIMEOUT_S)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            said = (error.stderr or error.stdout or b"").decode(errors="replace")[-300:]
            raise ToolUnavailableError(f"{command[0]} failed: {said}") from None
