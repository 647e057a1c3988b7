"""What an audit of many exchanges found, grouped by endpoint and place. Memory is bounded, whatever is found."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from tracer_bullet.capture.redaction.audit.find import Auditor, Secret
from tracer_bullet.capture.redaction.pseudonyms import is_pseudonym
from tracer_bullet.capture.redaction.rules import Rules
from tracer_bullet.model.exchange import Exchange

_EXAMPLES: Final = 3
_MOST_ROWS: Final = 1000
# A segment of a path that names one thing of many.
_ID: Final = re.compile(r"\d+|[0-9a-fA-F-]{16,}|[^/]{40,}|.*%.*|.*\d{4,}.*")


@dataclass(slots=True, kw_only=True)
class AuditRow:
    """Secrets of one kind in one place of one endpoint. `exchanges`: up to three ids; `excerpt` of the first."""

    endpoint: str
    where: str
    kind: str
    excerpt: str
    count: int = 0
    exchanges: list[str] = field(default_factory=list)


@dataclass(slots=True)
class AuditReport:
    """`exchanges` were searched, `secrets` found; `rows` by count, the most first; `more` rows were left out."""

    exchanges: int = 0
    secrets: int = 0
    rows: list[AuditRow] = field(default_factory=list)
    more: int = 0

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return self.secrets == 0


def audit_exchanges(exchanges: Iterable[Exchange], rules: Rules | None = None) -> AuditReport:
    """Search exchanges one after the other. What `rules` keep on purpose is no finding."""
    auditor = Auditor(rules)
    report = AuditReport()
    rows: dict[tuple[str, str, str], AuditRow] = {}
    for exchange in exchanges:
        report.exchanges += 1
        for secret in auditor.find(exchange):
            report.secrets += 1
            _add(rows, report, endpoint_of(exchange), secret)
    report.rows = sorted(rows.values(), key=lambda row: (-row.count, row.endpoint, row.where, row.kind))
    return report


def _add(rows: dict[tuple[str, str, str], AuditRow], report: AuditReport, endpoint: str, secret: Secret) -> None:
    key = (endpoint, secret.where, secret.kind)
    row = rows.get(key)
    if row is None:
        if len(rows) >= _MOST_ROWS:
            report.more += 1
            return
        row = rows[key] = AuditRow(endpoint=endpoint, where=secret.where, kind=secret.kind, excerpt=secret.excerpt)
    row.count += 1
    if len(row.exchanges) < _EXAMPLES and secret.exchange not in row.exchanges:
        row.exchanges.append(secret.exchange)


def endpoint_of(exchange: Exchange) -> str:
    """`GET /orders/*`: method and path, with `*` for segments that look like ids, so that no secret is shown."""
    path = exchange.request.target.partition("?")[0]
    steps = ["*" if _ID.fullmatch(step) or is_pseudonym(step) else step for step in path.split("/")]
    return f"{exchange.request.method} {'/'.join(steps)}"
