"""Makes ../golden/logs anew with the real servers: `python -m tests.unit.capture.formats.logs.make_golden`."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tests.unit.capture.formats.logs import configs
from tests.unit.capture.formats.logs.traffic import REQUESTS, ask, upstream, visit

GOLDEN = Path(__file__).parents[1] / "golden" / "logs"


def main() -> None:
    with tempfile.TemporaryDirectory() as name, upstream() as service:
        folder = Path(name)
        with configs.nginx(folder / "nginx", service.port) as port:
            visit(port)
        with configs.apache(folder / "apache", service.port) as port:
            visit(port)
        with configs.envoy(folder / "envoy", service.port) as (port, tcp):
            visit(port)
            ask(tcp, REQUESTS["head"])
        for server in ("nginx", "apache", "envoy"):
            (GOLDEN / server).mkdir(parents=True, exist_ok=True)
            for log in (folder / server).glob("*.log"):
                if log.stem not in ("error", "stderr", "envoy", "access"):
                    shutil.copyfile(log, GOLDEN / server / log.name)


if __name__ == "__main__":
    main()
