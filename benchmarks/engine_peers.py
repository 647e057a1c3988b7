"""The load generators that engine.py compares: how each is started, and what it cannot do.

Go programs are built once from the Go module proxy into `.tools/engine-peers` (GoReplay needs libpcap-dev); wrk is
Debian's package.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import engine_load as load

TOOLS = Path(__file__).parents[1] / ".tools" / "engine-peers"
# Versions that the module proxy has; a module of its own each, so that none decides another's dependencies.
GO_PROGRAMS = {
    "vegeta": ("github.com/tsenart/vegeta/v12", "v12.12.0"),
    "hey": ("github.com/rakyll/hey", "v0.1.5"),
    "k6": ("go.k6.io/k6", "v1.8.1"),
    "goreplay": ("github.com/buger/goreplay", "v1.3.2"),
}
_BUILD_S = 1800
OURS = "tracer-bullet"


@dataclass(frozen=True)
class Wish:
    """What a generator is asked for. `rate` 0: as fast as it can, over 64 connections."""

    url: str
    kind: str
    seconds: float
    folder: Path
    rate: int = 0

    @property
    def whole_s(self) -> int:
        return max(1, round(self.seconds))


@dataclass(frozen=True)
class Peer:
    """`command`: None when it cannot do what is wished. `program`: "" for what pip installs."""

    name: str
    program: str
    command: Callable[[str, Wish], Sequence[str] | None]


def _python(who: str, *, paced: bool, flat_out: bool = True) -> Peer:
    def command(_: str, wish: Wish) -> Sequence[str] | None:
        if not (paced if wish.rate else flat_out):
            return None
        rate = [str(wish.rate)] if wish.rate else []
        return [sys.executable, "-m", "benchmarks.engine_python", who, wish.url, wish.kind, str(wish.seconds), *rate]

    names = {
        "ours": OURS,
        "ours-realtime": f"{OURS}, real time",
        "locust": "Locust FastHttpUser",
        "aiohttp": "aiohttp + uvloop",
        "httpx": "httpx",
    }
    return Peer(names[who], "", command)


def _wrk(program: str, wish: Wish) -> Sequence[str] | None:
    if wish.rate:
        return None
    script = load.wrk_script(wish.kind, wish.folder)
    lua = ["-s", str(script)] if script else []
    return [program, "-t1", "-c64", f"-d{wish.whole_s}s", *lua, wish.url + "/s0/x"]


def _vegeta(program: str, wish: Wish) -> Sequence[str]:
    targets = load.vegeta_targets(wish.url, wish.kind, wish.folder)
    # Paced, it may open what it needs: with fewer idle connections than workers it would dial for most requests.
    pace = (
        ["-rate", f"{wish.rate}/s"] if wish.rate else ["-rate", "0", "-max-workers", "64", "-connections", "64"]
    )  # fmt: skip
    return [
        program, "attack", "-format", "json", "-targets", str(targets), "-duration", f"{wish.whole_s}s", *pace,
        "-workers", "64", "-insecure", "-http2=false", "-max-body", "0", "-output", os.devnull,
    ]  # fmt: skip


def _hey(program: str, wish: Wish) -> Sequence[str] | None:
    if wish.kind != "constant":
        return None
    pace = ["-q", str(wish.rate / 64)] if wish.rate else []
    return [program, "-z", f"{wish.whole_s}s", "-c", "64", "-o", "csv", *pace, wish.url + "/s0/x"]


def _k6(program: str, wish: Wish) -> Sequence[str]:
    script = load.k6_script(wish.url, wish.kind, wish.folder, wish.rate)
    return [
        program, "run", "--quiet", "--no-usage-report", "--no-summary", "-e", f"FOR={wish.whole_s}s", str(script),
    ]  # fmt: skip


def _goreplay(program: str, wish: Wish) -> Sequence[str] | None:
    if wish.url.startswith("https"):
        return None  # it has no way to skip verification
    host = wish.url.split("//")[1]
    if wish.rate:
        source = str(load.gor_file(wish.kind, wish.folder, host, wish.rate, int(wish.rate * wish.seconds)))
        depth = ["--input-file-read-depth", "100"]
    else:
        source = str(load.gor_file(wish.kind, wish.folder, host, 1_000_000, 20_000)) + "|10000%"
        depth = ["--input-file-loop", "--input-file-read-depth", "10000"]
    return [
        program, "--input-file", source, *depth, "--output-http", wish.url, "--output-http-workers", "64",
        "--exit-after", f"{wish.whole_s + 1}s",
    ]  # fmt: skip


PEERS = (
    _python("ours", paced=True),
    _python("ours-realtime", paced=True, flat_out=False),
    Peer("wrk", "wrk", _wrk),
    Peer("vegeta", "vegeta", _vegeta),
    Peer("k6", "k6", _k6),
    Peer("hey", "hey", _hey),
    Peer("GoReplay", "goreplay", _goreplay),
    _python("locust", paced=True),
    _python("aiohttp", paced=False),
    _python("httpx", paced=False),
)


def find(peer: Peer) -> str:
    """The peer's program, built when it can be; raises LookupError that says why it cannot be had."""
    if not peer.program:
        return sys.executable
    if found := shutil.which(peer.program):
        return found
    if peer.program not in GO_PROGRAMS:
        raise LookupError(f"{peer.name}: not installed (Debian's package is {peer.program})")
    built = TOOLS / peer.program
    if not built.exists():
        _build(peer.program, built)
    return str(built)


def _build(name: str, target: Path) -> None:
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        raise LookupError(f"{name}: no go to build it with")
    module, version = GO_PROGRAMS[name]
    folder = TOOLS / f"{name}.build"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "go.mod").write_text(f"module peer\n\ngo 1.22\n\nrequire {module} {version}\n")
    (folder / "peer.go").write_text(f'//go:build peer\n\npackage peer\n\nimport _ "{module}"\n')
    built = subprocess.run(
        [go, "build", "-mod=mod", "-o", str(target), module],
        cwd=folder, capture_output=True, text=True, timeout=_BUILD_S, check=False,
    )  # fmt: skip
    shutil.rmtree(folder)
    if built.returncode:
        raise LookupError(f"{name}: does not build: {built.stderr.strip().splitlines()[-1:]}")
