"""Numbers and foreign text made fit to read. Pure functions, one definition for all outputs."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

# Controls but tab and newline, surrogates, bidirectional overrides and isolates, non-characters.
_UNFIT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)
_SPACE = re.compile(r"\s+")
DASH = "–"


def clean(text: str) -> str:
    """Text without code points that break a terminal, XML 1.0 or UTF-8, or that turn reading order around."""
    fit = _UNFIT.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))
    return "".join("\ufffd" if ord(c) & 0xFFFE == 0xFFFE else c for c in fit) if not fit.isascii() else fit


def line(text: str, limit: int = 300) -> str:
    """`clean` text on one line, at most `limit` characters, the last of them `…` where it was cut."""
    flat = _SPACE.sub(" ", clean(text)).strip()
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def block(text: str, limit: int = 2000) -> str:
    """`clean` text that may have several lines, at most `limit` characters."""
    fit = clean(text).strip()
    return fit if len(fit) <= limit else fit[: limit - 1] + "…"


def count(number: int) -> str:
    """`12,500`."""
    return f"{number:,}"


def plural(number: int, one: str, many: str = "") -> str:
    """`1 bullet`, `12,500 bullets`."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def listing(parts: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def percent(part: int, whole: int) -> str:
    """A share; never rounds something to nothing nor nearly all to all."""
    if whole <= 0:
        return DASH
    share = 100 * part / whole
    if 0 < share < 0.1:
        return "<0.1 %"
    if 99.9 < share < 100:
        return ">99.9 %"
    return f"{share:.0f} %" if share in (0, 100) else f"{share:.1f} %"


def ms(value: float | None) -> str:
    """A duration given in milliseconds, with about three significant digits and its unit."""
    if value is None or not math.isfinite(value):
        return DASH
    size = abs(value)
    if 0 < size < 0.005:
        return "<0.01 ms"
    if size < 0.995:
        return "0 ms" if size == 0 else f"{value:.2f} ms"
    if size < 99.95:
        return f"{value:.1f} ms"
    if size < 999.5:
        return f"{value:.0f} ms"
    return f"{value / 1000:.2f} s" if size < 100_000 else f"{value / 1000:,.0f} s"


def moment(time_ns: int) -> str:
    """Unix nanoseconds as `2026-01-31 12:00:00 UTC`."""
    return f"{iso(time_ns).replace('T', ' ')} UTC"


def iso(time_ns: int) -> str:
    """Unix nanoseconds as `2026-01-31T12:00:00`, in UTC; times outside the years 1 to 9999 as the epoch."""
    try:
        when = datetime.fromtimestamp(time_ns // 1_000_000_000, tz=UTC)
    except (OverflowError, ValueError, OSError):
        when = datetime.fromtimestamp(0, tz=UTC)
    return when.strftime("%Y-%m-%dT%H:%M:%S")


def share(value: float) -> str:
    """A part of one as `99.95 %`; what is nearly nothing or nearly all keeps the digits that say so."""
    if not math.isfinite(value):
        return DASH
    hundred = 100 * value
    if 0 < hundred < 0.001:
        return "<0.001 %"
    if 99.999 < hundred < 100:
        return ">99.999 %"
    digits = 3 if 99 < hundred < 100 or 0 < hundred < 0.1 else 1
    shown = f"{hundred:,.{digits}f}"
    return f"{shown.rstrip('0').rstrip('.')} %"


def rate(per_s: float) -> str:
    """Calls a second, or a minute or an hour where that reads better; `–` when unknown."""
    if not math.isfinite(per_s) or per_s < 0:
        return DASH
    for factor, unit in ((1, "s"), (60, "min"), (3600, "h")):
        value = per_s * factor
        if value >= 0.995 or (unit == "h" and value > 0):
            return f"{value:,.0f}/{unit}" if value >= 99.5 else f"{value:.3g}/{unit}"
    return "0/s"


def span_of(seconds: float) -> str:
    """A stretch of time as people say it: `5 min`, `30 d`, `1.5 h`."""
    if not math.isfinite(seconds):
        return DASH
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def signed_ms(value: float) -> str:
    """A difference of durations with its sign: `+12.0 ms`, `−3.1 ms`."""
    if not math.isfinite(value):
        return DASH
    return f"{'+' if value > 0 else '−' if value < 0 else '±'}{ms(abs(value))}"


def clock(time_ns: int) -> str:
    """Unix nanoseconds as the time of day in UTC, `12:00:00`."""
    return iso(time_ns).partition("T")[2]
