"""A throw-away Kafka: one node in KRaft mode, on a free port of 127.0.0.1; its jars come from Maven Central."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

VERSION = "3.9.1"
TOOLS = Path(__file__).parents[2] / ".tools" / "kafka"
JARS = TOOLS / VERSION
FETCH_TIMEOUT_S = 300
START_TIMEOUT_S = 120
_POM = f"""<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>tests</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version>
    </dependency>
  </dependencies>
</project>
"""
# A JVM that starts fast and stays small.
_JAVA = ("java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
_SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={folder}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
num.partitions=1
"""


def fetch_jars() -> Path:
    """The folder of the server's jars; skips the calling test when they cannot be had."""
    if shutil.which("java") is None:
        pytest.skip("kafka: no java on this machine")
    if not JARS.exists():
        maven = shutil.which("mvn")
        if maven is None:
            pytest.skip("kafka: no mvn to fetch the server's jars with")
        draft = TOOLS / f"draft-{os.getpid()}"
        draft.mkdir(parents=True, exist_ok=True)
        (draft / "pom.xml").write_text(_POM)
        command = [maven, "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime"]
        try:
            subprocess.run(
                [*command, f"-DoutputDirectory={draft / 'jars'}"],
                check=True,
                timeout=FETCH_TIMEOUT_S,
                capture_output=True,
                cwd=draft,
            )
            with contextlib.suppress(FileExistsError):  # another worker was faster
                (draft / "jars").rename(JARS)
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"kafka: the server's jars cannot be fetched: {error}")
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return JARS


@contextlib.contextmanager
def run_kafka() -> Iterator[str]:
    """Run a server; yields its address, `127.0.0.1:port`, when it can be connected to."""
    classpath = f"{fetch_jars()}/*"
    folder = Path(tempfile.mkdtemp(prefix="tracer-bullet-kafka-"))
    try:
        port, controller = _free_ports()
        settings = folder / "server.properties"
        settings.write_text(_SETTINGS.format(port=port, controller=controller, folder=folder))
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        java = (*_JAVA, "-cp", classpath)
        with (folder / "log").open("wb") as log:
            subprocess.run(
                [*java, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(settings)],
                check=True,
                timeout=START_TIMEOUT_S,
                stdout=log,
                stderr=log,
            )
            server = subprocess.Popen([*java, "kafka.Kafka", str(settings)], stdout=log, stderr=log, cwd=folder)
            try:
                _await_port(server, port, folder / "log")
                yield f"127.0.0.1:{port}"
            finally:
                server.kill()  # nothing here outlives it
                server.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _await_port(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Kafka says nothing when it is ready, but listens only then."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while server.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise AssertionError(f"kafka does not serve (status {server.poll()}):\n{log.read_text(errors='replace')[-4000:]}")


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]
