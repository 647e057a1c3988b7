"""Who is to blame: from `span`, `pair` and `call` to one leaf for each bad trace.

Spans of a trace are ordered by their ids in the end, never by `row_id`, which may differ from one reading to the next.
Kinds: 2 server, 3 client, 4 producer, 5 consumer.
"""

from __future__ import annotations

from typing import Final

HEADS: Final = """
SELECT
    s.row_id, s.trace_hi, s.trace_lo, s.span_id, s.service, s.name, s.kind, s.start_ns, s.end_ns, s.duration_ns,
    s.failed, s.parent_id IS NOT NULL AND s.parent_id <> s.span_id AS orphan
FROM span AS s
LEFT JOIN pair ON s.row_id = pair.child
WHERE pair.child IS NULL
"""

# One root a trace: a true one before a span whose parent is missing, then the first, then the longest.
ROOTS: Final = """
SELECT row_id, trace_hi, trace_lo, span_id, service, name, kind, start_ns, end_ns, duration_ns, failed, orphan
FROM (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY trace_hi, trace_lo
            ORDER BY CASE WHEN orphan THEN 1 ELSE 0 END, start_ns, end_ns DESC, span_id
        ) AS place
    FROM head
) AS placed
WHERE place = 1
"""

# Failed spans with what they say. A status without a message may have an exception beside it.
FAILINGS: Final = """
WITH
thrown AS (
    SELECT trace_hi, trace_lo, span_id, type, message
    FROM (
        SELECT
            *, row_number() OVER (PARTITION BY trace_hi, trace_lo, span_id ORDER BY type, message) AS place
        FROM source_exception
    ) AS numbered
    WHERE place = 1
),
told AS (
    SELECT
        s.row_id, s.trace_hi, s.trace_lo, s.span_id, s.service, s.name, s.kind, s.start_ns, s.end_ns,
        s.target_kind, s.target_name, pair.parent,
        coalesce(nullif(s.error_type, ''), t.type, '') AS error_type,
        coalesce(nullif(s.error_message, ''), t.message, '') AS error_message
    FROM span AS s
    LEFT JOIN pair ON s.row_id = pair.child
    LEFT JOIN thrown AS t ON s.trace_hi = t.trace_hi AND s.trace_lo = t.trace_lo AND s.span_id = t.span_id
    WHERE s.failed
),
worded AS (SELECT *, lower(error_type || ' ' || substr(error_message, 1, 500)) AS words FROM told)
SELECT
    row_id, trace_hi, trace_lo, span_id, service, name, kind, start_ns, end_ns, target_kind, target_name, parent,
    error_type, error_message,
    error_type IN ('499', '1') OR words LIKE '%cancel%' OR words LIKE '%client disconnected%'
        OR words LIKE '%aborterror%' AS cancelled,
    error_type IN ('408', '504', '4') OR words LIKE '%timeout%' OR words LIKE '%timed out%'
        OR words LIKE '%deadline%' AS timed_out
FROM worded
"""

SUSPECTS: Final = "SELECT trace_hi, trace_lo FROM failing GROUP BY trace_hi, trace_lo"

# Spans that an error passes without a mark: inner spans without a status, and the client half of a failed call.
PASSING: Final = """
SELECT x.row_id, pair.parent AS far
FROM span AS x
JOIN suspect AS t ON x.trace_hi = t.trace_hi AND x.trace_lo = t.trace_lo
JOIN pair ON x.row_id = pair.child
JOIN span AS p ON pair.parent = p.row_id
LEFT JOIN (SELECT DISTINCT parent FROM failing WHERE kind = 2) AS half ON x.row_id = half.parent
WHERE NOT x.failed AND ((x.kind IN (0, 1) AND p.service = x.service) OR (x.kind = 3 AND half.parent IS NOT NULL))
"""

# One round of pointer doubling: rounds are the logarithm of the depth.
JUMP: Final = """
SELECT a.row_id, coalesce(b.far, a.far) AS far FROM {name} AS a LEFT JOIN {name} AS b ON a.far = b.row_id
"""
UNSETTLED: Final = "SELECT count(*) FROM {name} AS a JOIN {name} AS b ON a.far = b.row_id"

# `above`: the parent, or the first span above it that could have shown the error.
RISEN: Final = """
SELECT
    f.row_id, f.trace_hi, f.trace_lo, f.span_id, f.service, f.name, f.kind, f.start_ns, f.end_ns, f.target_name,
    f.parent, f.cancelled, f.timed_out,
    CASE WHEN d.service = f.service OR (f.kind = 2 AND d.kind = 3) THEN coalesce(q.far, f.parent) ELSE f.parent END
        AS above
FROM failing AS f
LEFT JOIN span AS d ON f.parent = d.row_id
LEFT JOIN {passing} AS q ON f.parent = q.row_id
"""

# From each failed span to the child that it failed for: the last error that came back to it. A child that was given
# up on is none, as long as there is another reason; one that was made good by a later try comes last.
DOWN: Final = """
WITH
again AS (
    SELECT pair.parent, s.service, s.name, s.kind, s.target_name, max(s.start_ns) AS last_ns
    FROM span AS s
    JOIN pair ON s.row_id = pair.child
    JOIN (SELECT DISTINCT parent FROM failing) AS f ON pair.parent = f.parent
    WHERE NOT s.failed
    GROUP BY pair.parent, s.service, s.name, s.kind, s.target_name
),
below AS (
    SELECT
        c.row_id, c.above, c.span_id, c.start_ns, c.end_ns, c.cancelled, c.timed_out,
        p.end_ns AS parent_end_ns, p.cancelled AS parent_cancelled, p.timed_out AS parent_timed_out,
        CASE WHEN a.last_ns >= c.end_ns THEN 1 ELSE 0 END AS made_good,
        sum(CASE WHEN c.cancelled THEN 0 ELSE 1 END) OVER (PARTITION BY c.above) AS reasons
    FROM risen AS c
    JOIN failing AS p ON c.above = p.row_id
    LEFT JOIN again AS a
        ON c.parent = a.parent AND c.service = a.service AND c.name = a.name AND c.kind = a.kind
        AND c.target_name = a.target_name
    -- Nobody waits for a consumer.
    WHERE NOT (c.kind = 5 AND (p.kind = 4 OR p.service <> c.service))
)
SELECT above AS row_id, row_id AS far
FROM (
    SELECT
        above, row_id,
        row_number() OVER (
            PARTITION BY above
            ORDER BY made_good, CASE WHEN end_ns > parent_end_ns THEN 1 ELSE 0 END, end_ns DESC, start_ns, span_id
        ) AS place
    FROM below
    WHERE
        NOT (cancelled AND (parent_timed_out OR parent_cancelled OR reasons > 0))
        -- What failed after its caller had given up is not why; a second time-out is, further in.
        AND NOT (parent_timed_out AND NOT timed_out AND end_ns > parent_end_ns)
) AS placed
WHERE place = 1
"""

# Server spans that failed below one that did not, where it may be that only the trace's own client stands above.
CANDIDATES: Final = """
SELECT c.row_id, c.parent, c.trace_hi, c.trace_lo
FROM risen AS c
JOIN trace_root AS r ON c.trace_hi = r.trace_hi AND c.trace_lo = r.trace_lo
LEFT JOIN failing AS p ON c.above = p.row_id
WHERE c.kind = 2 AND c.parent IS NOT NULL AND p.row_id IS NULL AND r.kind NOT IN (2, 5)
"""
CLIMB: Final = """
SELECT x.row_id, pair.parent AS far
FROM span AS x
JOIN (SELECT DISTINCT trace_hi, trace_lo FROM candidate) AS t ON x.trace_hi = t.trace_hi AND x.trace_lo = t.trace_lo
JOIN pair ON x.row_id = pair.child
WHERE x.kind NOT IN (2, 5)
"""

# What failed for the outside. `leaf` is where the error came from. `grade` orders the entries of one trace: a root
# whose error leads somewhere, then a failed span whose parent was lost below a root whose error ends in the open.
ENTRIES: Final = """
WITH
entry AS (
    -- A lost parent below a root that is well had swallowed the error, or nobody waited for it.
    SELECT
        h.row_id, h.trace_hi, h.trace_lo, h.span_id, h.start_ns, CASE WHEN h.orphan THEN 3 ELSE 0 END AS grade
    FROM head AS h
    JOIN trace_root AS r ON h.trace_hi = r.trace_hi AND h.trace_lo = r.trace_lo
    WHERE h.failed AND (NOT h.orphan OR r.orphan OR r.failed OR h.kind = 5)
    UNION ALL
    SELECT f.row_id, f.trace_hi, f.trace_lo, f.span_id, f.start_ns, 4
    FROM candidate AS c
    JOIN failing AS f ON c.row_id = f.row_id
    LEFT JOIN {climb} AS q ON c.parent = q.row_id
    JOIN span AS g ON coalesce(q.far, c.parent) = g.row_id
    LEFT JOIN pair ON g.row_id = pair.child
    WHERE pair.child IS NULL AND g.kind NOT IN (2, 5)
    UNION ALL
    SELECT c.row_id, c.trace_hi, c.trace_lo, c.span_id, c.start_ns, 5
    FROM failing AS c
    JOIN span AS p ON c.parent = p.row_id
    WHERE c.kind = 5 AND (p.kind = 4 OR p.service <> c.service)
),
followed AS (
    SELECT
        e.row_id, e.trace_hi, e.trace_lo, e.span_id, e.start_ns, e.grade,
        coalesce(d.far, e.row_id) AS leaf
    FROM entry AS e
    LEFT JOIN {down} AS d ON e.row_id = d.row_id
),
graded AS (
    SELECT
        f.trace_hi, f.trace_lo, f.span_id, f.start_ns, f.leaf,
        CASE
            WHEN f.grade = 0 AND (
                f.leaf = f.row_id OR (l.kind = 3 AND l.target_kind <> 'store' AND a.row_id IS NULL)
            ) THEN 2
            WHEN f.grade = 3 AND r.failed AND NOT r.orphan AND f.start_ns BETWEEN r.start_ns AND r.end_ns THEN 1
            ELSE f.grade
        END AS grade
    FROM followed AS f
    JOIN trace_root AS r ON f.trace_hi = r.trace_hi AND f.trace_lo = r.trace_lo
    JOIN span AS l ON f.leaf = l.row_id
    LEFT JOIN answered AS a ON f.leaf = a.row_id
)
SELECT trace_hi, trace_lo, leaf
FROM (
    SELECT
        trace_hi, trace_lo, leaf,
        row_number() OVER (
            PARTITION BY trace_hi, trace_lo
            -- Of lost ones inside a failed root the last to begin is the deepest.
            ORDER BY grade, CASE WHEN grade = 1 THEN -start_ns ELSE start_ns END, span_id
        ) AS place
    FROM graded
) AS placed
WHERE place = 1
"""

# Errors in traces that failed for nobody outside: the first that the span above did not pass on.
SWALLOWED: Final = """
SELECT trace_hi, trace_lo, leaf
FROM (
    SELECT
        c.trace_hi, c.trace_lo, coalesce(d.far, c.row_id) AS leaf,
        row_number() OVER (PARTITION BY c.trace_hi, c.trace_lo ORDER BY c.start_ns, c.span_id) AS place
    FROM risen AS c
    LEFT JOIN failing AS p ON c.above = p.row_id
    LEFT JOIN failed_trace AS b ON c.trace_hi = b.trace_hi AND c.trace_lo = b.trace_lo
    LEFT JOIN {down} AS d ON c.row_id = d.row_id
    WHERE p.row_id IS NULL AND b.leaf IS NULL AND NOT c.cancelled
) AS placed
WHERE place = 1
"""

# Which service answers at an address, where it is always the same one: what shows who was called when nobody answered.
ADDRESSES: Final = """
SELECT host, port, max(target) AS service
FROM (
    SELECT s.host, s.port, k.target
    FROM call AS k
    JOIN span AS s ON k.caller = s.row_id
    WHERE k.rule = 'client-server' AND s.host <> ''
    GROUP BY s.host, s.port, k.target
) AS met
GROUP BY host, port
HAVING count(*) = 1
"""

# Statements and requests that were wrong by themselves: the caller's fault, whoever refused them.
_OWN_FAULT: Final = """(
    b.symptom <> 'slow' AND (
        (l.target_kind <> 'store' AND (
            (b.error_type LIKE '4__' AND b.error_type NOT IN ('408', '425', '429', '499'))
            OR b.error_type IN (
                '3', '5', '6', '7', '9', '11', '16', 'INVALID_ARGUMENT', 'NOT_FOUND', 'ALREADY_EXISTS',
                'PERMISSION_DENIED', 'FAILED_PRECONDITION', 'OUT_OF_RANGE', 'UNAUTHENTICATED'
            )
        ))
        OR (l.target_kind = 'store' AND (
            b.error_type LIKE '22___' OR b.error_type LIKE '23___' OR b.error_type LIKE '42___'
            OR lower(b.error_type) LIKE '%integrityerror%' OR lower(b.error_type) LIKE '%programmingerror%'
            OR lower(b.error_type) LIKE '%dataerror%' OR lower(b.error_type) LIKE '%violation%'
            OR lower(b.error_type) LIKE '%syntaxerror%' OR lower(b.error_type) LIKE '%duplicatekey%'
        ))
    )
)"""

# Who is to blame for a leaf: a call that failed without an error below is put down to whom it asked.
BLAMED: Final = f"""
WITH
callee AS (
    SELECT parent, service, name
    FROM (
        SELECT
            pair.parent, c.service, c.name,
            row_number() OVER (PARTITION BY pair.parent ORDER BY c.end_ns DESC, c.span_id) AS place
        FROM (SELECT DISTINCT leaf FROM bad) AS b
        JOIN pair ON b.leaf = pair.parent
        JOIN span AS c ON pair.child = c.row_id
        WHERE c.kind = 2
    ) AS placed
    WHERE place = 1
),
seen AS (
    SELECT
        b.symptom, b.trace_hi, b.trace_lo, b.leaf, b.weight, b.error_type, b.error_message, l.service AS caller, l.name,
        CASE
            WHEN l.kind NOT IN (3, 4) OR {_OWN_FAULT} THEN NULL
            WHEN c.service IS NOT NULL THEN c.service
            WHEN l.target_kind = '' THEN NULL
            WHEN l.target_kind = 'address' THEN coalesce(k.service, a.service, l.target_name)
            ELSE l.target_name
        END AS asked,
        CASE WHEN c.service IS NULL THEN l.target_system ELSE '' END AS system,
        CASE WHEN l.kind IN (3, 4) AND NOT {_OWN_FAULT} THEN c.name END AS asked_name
    FROM bad AS b
    JOIN span AS l ON b.leaf = l.row_id
    LEFT JOIN callee AS c ON b.leaf = c.parent
    LEFT JOIN address AS a ON l.host = a.host AND l.port = a.port
    LEFT JOIN (SELECT DISTINCT service FROM span) AS k ON l.peer_service = k.service
)
SELECT
    symptom, trace_hi, trace_lo, leaf, weight, error_type, substr(error_message, 1, 1000) AS error_message, caller,
    coalesce(asked, caller) AS service, coalesce(asked_name, name) AS operation, asked IS NOT NULL AS peer, system
FROM seen
"""

ALL_BLAMED: Final = "SELECT * FROM blamed"

# The way up from a leaf; 0 is no row.
PARENTS: Final = """
SELECT s.row_id, coalesce(pair.parent, 0) AS parent
FROM span AS s
JOIN (SELECT DISTINCT trace_hi, trace_lo FROM wanted_path) AS t ON s.trace_hi = t.trace_hi AND s.trace_lo = t.trace_lo
LEFT JOIN pair ON s.row_id = pair.child
ORDER BY s.row_id
"""
STEP_NAMES: Final = """
SELECT s.row_id, s.service, s.name FROM span AS s JOIN (SELECT DISTINCT row_id FROM wanted_step) AS w
    ON s.row_id = w.row_id
"""
