"""A throw-away server of MongoDB's wire protocol: mongo-java-server, in memory, on a free port of 127.0.0.1.

Debian has no MongoDB. This server is not MongoDB either, but somebody else's independent reading of its
protocol, with real storage behind it. Its jars come from Maven Central into `.tools/` once; where
Java or Maven are missing, or the jars cannot be had, tests that need it are skipped by name.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pymongo

_HERE = Path(__file__).with_name("mongo_java")
_TOOLS = Path(__file__).parents[2] / ".tools"
_JARS = _TOOLS / "mongo-java-server-1.47.0"
_FETCH_TIMEOUT_S = 240
_STOP_S = 30


class MongoUnavailableError(Exception):
    """No such server is to be had here: tests skip."""


class MongoServer:
    """A server of its own. A context manager: inside, it accepts connections without a password."""

    def __init__(self) -> None:
        self.port = 0
        java = shutil.which("java")
        if java is None:
            raise MongoUnavailableError("no java for mongo-java-server on this machine")
        _fetch_jars()
        self._java = java
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        command = [self._java, "-Xmx256m", "-cp", f"{_JARS}/*", str(_HERE / "Serve.java")]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:  # ends with the process
                if line.startswith("port "):
                    self.port = int(line.split()[1])
                    return self
            status = self._process.wait(_STOP_S)
            raise RuntimeError(f"mongo-java-server ended with status {status} before it served")
        except BaseException:
            self._stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()  # nothing here is worth a clean end
            self._process.communicate(timeout=_STOP_S)

    @property
    def url(self) -> str:
        """As pymongo takes it."""
        return f"mongodb://127.0.0.1:{self.port}/?directConnection=true"

    def client(self, **options: Any) -> pymongo.MongoClient[dict[str, Any]]:
        """A new client; close it."""
        return pymongo.MongoClient(self.url, **options)

    def dump(self) -> dict[str, list[str]]:
        """Every collection's documents and indexes as text, by `database.collection`. For a stranger to all guards."""
        with self.client() as client:
            found: dict[str, list[str]] = {}
            for database in client.list_database_names():
                for name in client[database].list_collection_names():
                    documents = sorted(repr(d) for d in client[database][name].find())
                    found[f"{database}.{name}"] = [*documents, *sorted(client[database][name].index_information())]
            return found


def _fetch_jars() -> None:
    if _JARS.exists():
        return
    maven = shutil.which("mvn")
    if maven is None:
        raise MongoUnavailableError("no mvn to fetch mongo-java-server with")
    draft = _TOOLS / f"mongo-{os.getpid()}"
    pom = ["-f", str(_HERE / "pom.xml")]
    command = [maven, "-q", "-B", *pom, "dependency:copy-dependencies", f"-DoutputDirectory={draft}"]
    try:
        subprocess.run(command, check=True, timeout=_FETCH_TIMEOUT_S, capture_output=True)
        if not _JARS.exists():  # another worker may have been quicker
            draft.replace(_JARS)
    except (OSError, subprocess.SubprocessError) as error:
        raise MongoUnavailableError(f"mongo-java-server cannot be fetched: {error}") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
