"""The exact statistics of all workers together, where the master runs: what `tb_histograms` of their reports sum to.

A locustfile attaches it (docs/locust.md); Locust itself is not imported here, its environment is only called.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from tracer_bullet.engine.histogram import Histogram
from tracer_bullet.model.replay import Quantiles

KEY: Final = "tb_histograms"


class ExactStatistics:
    """Histograms by method and name, merged over workers and reports. `unread` counts reports that made no sense."""

    def __init__(self) -> None:
        self.histograms: dict[tuple[str, str], Histogram] = {}
        self.unread = 0

    def attach(self, environment: Any, path: Path | str | None = None) -> None:
        """Follow a Locust master's tests; at the end of each, and on leaving, write `path` (JSON) if there is one."""
        environment.events.worker_report.add_listener(self._on_report)
        environment.events.test_start.add_listener(lambda **_: self.histograms.clear())
        if path is not None:
            target = Path(path)
            environment.events.test_stop.add_listener(lambda **_: self.write(target))
            environment.events.quit.add_listener(lambda **_: self.write(target))

    def add(self, data: Mapping[str, Any]) -> None:
        """Add the data of one `stats` message; one without histograms, as of Locust's own workers, adds nothing."""
        report = data.get(KEY)
        if report is None:
            return
        try:
            found = [((str(m), str(n)), Histogram.decode(text)) for m, n, text in report["entries"]]
        # Strange shapes as well as strange texts: a report is another process's word.
        except (ValueError, TypeError, KeyError, AttributeError):
            self.unread += 1
            return
        for key, histogram in found:
            self.histograms.setdefault(key, Histogram()).merge(histogram)

    def total(self) -> Quantiles:
        """Of all entries together."""
        merged = Histogram()
        for histogram in self.histograms.values():
            merged.merge(histogram)
        return merged.quantiles()

    def write(self, path: Path) -> None:
        """`{"total": quantiles, "entries": [{"method", "name", …quantiles}], "unread": n}`, in milliseconds."""
        entries = [
            {"method": method, "name": name, **asdict(histogram.quantiles())}
            for (method, name), histogram in sorted(self.histograms.items())
        ]
        document = {"total": asdict(self.total()), "entries": entries, "unread": self.unread}
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")

    def _on_report(self, client_id: str, data: Mapping[str, Any], **_: Any) -> None:
        del client_id
        self.add(data)
