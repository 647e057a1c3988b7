"""What calls between two machines say about their clocks."""

from __future__ import annotations

from typing import Final

# Synchronous calls between two known machines. The callee's clock is ahead of the caller's by at least `low_ns` and
# at most `high_ns`, or its span would stick out. A callee that took longer than its caller waited says nothing.
CALLS: Final = """
SELECT
    p.machine AS caller, c.machine AS callee, p.start_ns,
    c.end_ns - p.end_ns AS low_ns, c.start_ns - p.start_ns AS high_ns
FROM pair
JOIN span AS p ON pair.parent = p.row_id
JOIN span AS c ON pair.child = c.row_id
WHERE
    p.kind = 3 AND c.kind = 2 AND p.machine <> '' AND c.machine <> '' AND p.machine <> c.machine
    AND c.end_ns >= c.start_ns AND c.end_ns - c.start_ns <= p.end_ns - p.start_ns
"""

# Each pair of machines: calls, those that allow equal clocks, and what these allow.
PAIRS: Final = """
SELECT
    caller, callee, count(*) AS calls,
    sum(CASE WHEN low_ns <= 0 AND high_ns >= 0 THEN 1 ELSE 0 END) AS agreeing,
    max(CASE WHEN low_ns <= 0 AND high_ns >= 0 THEN low_ns END) AS low_ns,
    min(CASE WHEN low_ns <= 0 AND high_ns >= 0 THEN high_ns END) AS high_ns
FROM skew_call
GROUP BY caller, callee
"""

AGREEING: Final = """
SELECT caller, callee, calls, low_ns, high_ns FROM skew_pair WHERE agreeing >= 0.98 * calls ORDER BY caller, callee
"""

# The others in four stretches of time of as many calls each: what all but 2 % of each stretch's calls allow.
STRETCHES: Final = """
WITH
placed AS (
    SELECT
        c.caller, c.callee, c.low_ns, c.high_ns, p.calls,
        row_number() OVER (PARTITION BY c.caller, c.callee ORDER BY c.start_ns, c.low_ns, c.high_ns) AS place
    FROM skew_call AS c
    JOIN skew_pair AS p ON c.caller = p.caller AND c.callee = p.callee
    WHERE p.agreeing < 0.98 * p.calls
),
stretched AS (
    SELECT caller, callee, low_ns, high_ns, CAST(floor((place - 1) * 4 / calls) AS INTEGER) AS stretch FROM placed
),
ranked AS (
    SELECT
        caller, callee, stretch, low_ns, high_ns,
        row_number() OVER (PARTITION BY caller, callee, stretch ORDER BY low_ns DESC) AS low_place,
        row_number() OVER (PARTITION BY caller, callee, stretch ORDER BY high_ns) AS high_place,
        count(*) OVER (PARTITION BY caller, callee, stretch) AS size
    FROM stretched
)
SELECT
    caller, callee, stretch, max(size),
    max(CASE WHEN low_place = floor(size * 0.02) + 1 THEN low_ns END),
    max(CASE WHEN high_place = floor(size * 0.02) + 1 THEN high_ns END)
FROM ranked
GROUP BY caller, callee, stretch
ORDER BY caller, callee, stretch
"""
