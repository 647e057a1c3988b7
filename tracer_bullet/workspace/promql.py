"""Which calls a Prometheus query counts, where it is plain enough to say. Pure; no PromQL engine.

A query is read when it selects one metric by labels that spans have too. Anything else is refused with the reason:
a query that is half understood would judge other calls than those meant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

# Prometheus' names of what spans say under other names (OpenTelemetry's conventions, span metrics, client libraries).
_SERVICE: Final = ("service_name", "service", "exported_service", "job", "exported_job", "app")
_OPERATION: Final = ("span_name", "operation", "rpc_method")
_STATUS: Final = ("code", "status", "status_code", "http_status_code", "http_response_status_code")
_SPAN_STATUS: Final = ("status_code", "span_status")
_KIND: Final = ("span_kind",)
_ENTRY_KINDS: Final = {"SPAN_KIND_SERVER", "SPAN_KIND_CONSUMER"}
_TEXT: Final = r"(?:\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')"
_SELECTOR: Final = re.compile(rf"([A-Za-z_:][A-Za-z0-9_:]*)\s*\{{((?:[^{{}}\"']|{_TEXT})*)\}}")
_MATCHER: Final = re.compile(rf"\s*([A-Za-z_][A-Za-z0-9_]*)\s*(=~|!~|!=|=)\s*({_TEXT})\s*(?:,|$)")
# What may stand around the selector: functions and ranges that keep the ratio of two counters.
_AROUND: Final = re.compile(r"(?:sum|rate|increase|irate|\(|\)|\s|\[[^\]]*\]|by\s*\(\s*le\s*\))*")
_QUANTILE: Final = re.compile(r"^\s*histogram_quantile\(\s*([0-9.]+)\s*,(.*)\)\s*$", re.DOTALL)
_CODES: Final = {"2": "200", "3": "302", "4": "404", "5": "503"}


class UnjudgeableError(ValueError):
    """A query that says nothing of calls that traces show; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a query asks of the calls of a service. `threshold_ms` None: that they do not fail.

    `quantile`: the query is about this quantile and not about a share.
    """

    service: str
    operation: str = ""
    threshold_ms: float | None = None
    client_errors: bool = False
    quantile: float | None = None


@dataclass(frozen=True, slots=True)
class _Selected:
    metric: str
    labels: Mapping[str, tuple[str, str]]

    def pop(self, names: tuple[str, ...]) -> tuple[str, str] | None:
        """The (operator, value) of the one label of `names` that is used."""
        return next((self.labels[n] for n in names if n in self.labels), None)


def read_ratio(queries: Mapping[str, str], *, service: str) -> Asked:
    """What a ratio of counters asks: `queries` by `good`, `bad` and `total`. Raises UnjudgeableError."""
    side = "good" if "good" in queries else "bad"
    if side not in queries:
        raise UnjudgeableError("a `good` or a `bad` metric is needed beside `total`")
    part = _select(queries[side])
    whole = _select(queries["total"]) if "total" in queries else None
    if whole is not None and (_scope(whole, service) != _scope(part, service)):
        raise UnjudgeableError("its total counts other calls than its good ones")
    name, operation = _scope(part, service)
    if "le" in part.labels:
        if side == "bad":
            raise UnjudgeableError("a histogram's bucket counts good calls, not bad ones")
        return Asked(service=name, operation=operation, threshold_ms=_bound_ms(part))
    return Asked(service=name, operation=operation, client_errors=_client_errors(part, bad=side == "bad"))


def read_threshold(query: str, op: str, value: float | None, *, service: str) -> Asked:
    """What a threshold on a metric asks: `histogram_quantile(…)` at most `value`. Raises UnjudgeableError."""
    match = _QUANTILE.match(query)
    if match is None:
        raise UnjudgeableError("of threshold metrics only histogram_quantile() over a latency histogram is read")
    if op not in ("lt", "lte") or value is None or value <= 0:
        raise UnjudgeableError("a latency is to stay below a `value` (op: lt or lte)")
    quantile = float(match[1])
    if not 0 < quantile < 1:
        raise UnjudgeableError(f"a quantile lies between 0 and 1, not {quantile:g}")
    part = _select(match[2])
    name, operation = _scope(part, service)
    return Asked(service=name, operation=operation, threshold_ms=value * _unit_ms(part.metric), quantile=quantile)


def _select(query: str) -> _Selected:
    found = _SELECTOR.findall(query)
    if len(found) != 1 or not _AROUND.fullmatch(_SELECTOR.sub("", query)):
        raise UnjudgeableError("its query is more than the sum or rate of one metric's series")
    metric, inside = found[0]
    labels: dict[str, tuple[str, str]] = {}
    at = 0
    while at < len(inside.rstrip()):
        match = _MATCHER.match(inside, at)
        if match is None:
            raise UnjudgeableError("its label matchers cannot be read")
        labels[match[1]] = (match[2], re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m[1], m[1]), match[3][1:-1]))
        at = match.end()
    return _Selected(metric, labels)


def _scope(part: _Selected, service: str) -> tuple[str, str]:
    """Service and operation that a selector picks; `service` where it names none."""
    known = {*_SERVICE, *_OPERATION, *_STATUS, *_SPAN_STATUS, *_KIND, "le"}
    strange = sorted(set(part.labels) - known)
    if strange:
        raise UnjudgeableError(f"its query selects by {', '.join(strange)}, which spans do not have under this name")
    said = {key: part.pop(names) for key, names in (("service", _SERVICE), ("operation", _OPERATION))}
    for key, matcher in said.items():
        if matcher is not None and matcher[0] != "=":
            raise UnjudgeableError(f"its query selects several of `{key}` by a pattern")
    kind = part.pop(_KIND)
    if kind is not None and (kind[0] not in ("=", "=~") or not set(kind[1].split("|")) <= _ENTRY_KINDS):
        raise UnjudgeableError("its query is not about calls that the service answers (server and consumer spans)")
    named, operation = said["service"], said["operation"]
    return named[1] if named else service, operation[1] if operation else ""


def _bound_ms(part: _Selected) -> float:
    operator, bound = part.labels["le"]
    try:
        value = float(bound)
    except ValueError:
        value = 0.0
    if operator != "=" or not 0 < value < float("inf"):
        raise UnjudgeableError(f"le{operator}{bound!r} is no bound of a histogram")
    return value * _unit_ms(part.metric)


def _unit_ms(metric: str) -> float:
    words = metric.split("_")
    if "milliseconds" in words or "ms" in words:
        return 1.0
    if "seconds" in words:
        return 1e3
    raise UnjudgeableError(f"the name of {metric} does not say its unit (seconds or milliseconds)")


def _client_errors(part: _Selected, *, bad: bool) -> bool:
    """Whether 4xx answers count as failures, from the status codes that the matcher lets through."""
    matcher = part.pop(_STATUS)
    if matcher is None:
        raise UnjudgeableError("it does not say by status or bucket which calls are good")
    operator, value = matcher
    if value == "STATUS_CODE_ERROR" and (operator == "!=") != bad:
        return False
    good = {first for first, code in _CODES.items() if _matches(operator, value, first, code) != bad}
    if "2" not in good or "5" in good:
        raise UnjudgeableError(f"good and bad are not told apart by status classes in {value!r}")
    return "4" not in good


def _matches(operator: str, value: str, first: str, code: str) -> bool:
    if operator in ("=", "!="):
        return (value.lower() in (code, f"{first}xx")) == (operator == "=")
    try:
        pattern = re.compile(value)
    except re.error:
        raise UnjudgeableError(f"{value!r} is no pattern") from None
    found = any(pattern.fullmatch(form) for form in (code, f"{first}xx", f"{first}XX"))
    return found == (operator == "=~")
