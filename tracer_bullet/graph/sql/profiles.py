"""The graphs that Jaeger, Tempo and Zipkin draw of the same spans, by their own rules.

Jaeger: internal/storage/v2/memory (1.76). Tempo: modules/generator/processor/servicegraphs, with its default peer
attributes. Zipkin: zipkin2.internal.DependencyLinker and SpanNode (3.4), on spans that share no ids: importing takes
shared ones apart. All start from `span` of sql/facts.py: copies and seals are out.
"""

from __future__ import annotations

from typing import Final

from tracer_bullet.graph.sql.facts import first

_STORE: Final = first("db.namespace", "db.name", "db.system", "db.system.name")
_UNSIGNED: Final = "CASE WHEN span_id < 0 THEN 1 ELSE 0 END, span_id"

# What spans say of the other side, where they say any. `store` is Tempo's name of a database.
SAID: Final = f"""
SELECT trace_hi, trace_lo, span_id, max(remote) AS remote, max(peer) AS peer, max(store) AS store, max(error) AS error
FROM (
    SELECT
        trace_hi, trace_lo, span_id,
        {first("peer.service")} AS remote,
        {first("peer.service", "db.name", "db.system", "db.system.name")} AS peer,
        CASE
            WHEN {_STORE} = '' THEN ''
            WHEN {first("peer.service", "server.address")} <> '' THEN {first("peer.service", "server.address")}
            WHEN {first("network.peer.address")} <> '' THEN
                {first("network.peer.address")}
                || CASE WHEN {first("network.peer.port")} = '' THEN '' ELSE ':' END || {first("network.peer.port")}
            ELSE {_STORE}
        END AS store,
        {first("error")} AS error
    FROM source
) AS read
WHERE peer <> '' OR store <> '' OR error <> ''
GROUP BY trace_hi, trace_lo, span_id
"""

# Every span whose parent is there; whether services differ does not matter.
JAEGER: Final = """
SELECT p.service AS caller, c.service AS callee, count(*) AS calls, CAST(0 AS BIGINT) AS errors
FROM span AS c
JOIN span AS p ON c.trace_hi = p.trace_hi AND c.trace_lo = p.trace_lo AND c.parent_id = p.span_id
GROUP BY p.service, c.service
ORDER BY caller, callee
"""

# A client's half meets a server's by the client's span id. A database's client is whole by itself; where there is no
# server, the client's peer attribute stands for it. Root servers of a trace share a key, and the last of them is kept.
TEMPO: Final = f"""
WITH
half AS (
    SELECT
        s.trace_hi, s.trace_lo, s.span_id, s.parent_id, s.service, s.kind, s.failed, s.start_ns,
        coalesce(n.peer, '') AS peer, coalesce(n.store, '') AS store
    FROM span AS s
    LEFT JOIN said AS n ON s.trace_hi = n.trace_hi AND s.trace_lo = n.trace_lo AND s.span_id = n.span_id
    WHERE s.kind IN (2, 3, 4, 5) AND s.service <> 'unknown_service'
),
server AS (
    SELECT
        trace_hi, trace_lo, parent_id, service, failed,
        row_number() OVER (PARTITION BY trace_hi, trace_lo, parent_id ORDER BY start_ns, {_UNSIGNED}) AS place
    FROM half
    WHERE kind IN (2, 5) AND parent_id IS NOT NULL
),
root AS (
    SELECT
        service, peer,
        max(CASE WHEN failed THEN 1 ELSE 0 END) OVER (PARTITION BY trace_hi, trace_lo) AS error,
        row_number() OVER (PARTITION BY trace_hi, trace_lo ORDER BY start_ns DESC, {_UNSIGNED}) AS place
    FROM half
    WHERE kind IN (2, 5) AND parent_id IS NULL
),
found AS (
    SELECT
        c.service AS caller,
        CASE WHEN c.store <> '' THEN c.store ELSE coalesce(s.service, c.peer) END AS callee,
        CASE WHEN c.failed OR (c.store = '' AND coalesce(s.failed, FALSE)) THEN 1 ELSE 0 END AS error
    FROM half AS c
    LEFT JOIN (SELECT trace_hi, trace_lo, parent_id, service, failed FROM server WHERE place = 1) AS s
        ON c.trace_hi = s.trace_hi AND c.trace_lo = s.trace_lo AND c.span_id = s.parent_id
    WHERE c.kind IN (3, 4) AND (c.store <> '' OR s.service IS NOT NULL OR c.peer <> '')
    UNION ALL
    SELECT CASE WHEN peer = '' THEN 'user' ELSE peer END, service, error FROM root WHERE place = 1
)
SELECT caller, callee, count(*) AS calls, sum(error) AS errors
FROM found
GROUP BY caller, callee
ORDER BY caller, callee
"""

# Zipkin's nodes: names in lower case, a kind only where it is one of its four. What misses its parent hangs below the
# first root by id.
ZIPKIN_NODES: Final = f"""
WITH
root AS (
    SELECT trace_hi, trace_lo, row_id
    FROM (
        SELECT
            trace_hi, trace_lo, row_id,
            row_number() OVER (PARTITION BY trace_hi, trace_lo ORDER BY {_UNSIGNED}) AS place
        FROM span
        WHERE parent_id IS NULL OR parent_id = span_id
    ) AS ranked
    WHERE place = 1
)
SELECT
    s.row_id, s.span_id, s.parent_id,
    CASE WHEN s.kind < 2 THEN 0 ELSE s.kind END AS kind,
    CASE WHEN s.service = 'unknown_service' THEN '' ELSE lower(s.service) END AS here,
    lower(coalesce(n.remote, '')) AS there,
    s.failed OR coalesce(n.error, '') <> '' AS failed,
    s.row_id = coalesce(root.row_id, -1) AS top,
    CASE WHEN pair.parent IS NOT NULL THEN pair.parent WHEN s.row_id = root.row_id THEN NULL ELSE root.row_id END AS up
FROM span AS s
LEFT JOIN pair ON s.row_id = pair.child
LEFT JOIN root ON s.trace_hi = root.trace_hi AND s.trace_lo = root.trace_lo
LEFT JOIN said AS n ON s.trace_hi = n.trace_hi AND s.trace_lo = n.trace_lo AND s.span_id = n.span_id
"""

# Two climbs, doubling their steps: to the tree's top, which parents in a circle never reach, and to the nearest span
# with a kind.
TO_TOP: Final = "SELECT row_id, up, up IS NULL AS found FROM zipkin_node"
TO_KIND: Final = """
SELECT n.row_id, n.up, n.up IS NULL OR u.kind <> 0 AS found
FROM zipkin_node AS n
LEFT JOIN zipkin_node AS u ON n.up = u.row_id
"""
CLIMB: Final = """
SELECT w.row_id, CASE WHEN w.found THEN w.up ELSE u.up END AS up, w.found OR u.found AS found
FROM {climbed} AS w
LEFT JOIN {climbed} AS u ON w.up = u.row_id
"""
UNFOUND: Final = "SELECT count(*) FROM {climbed} WHERE NOT found"

ZIPKIN: Final = """
WITH
placed AS (
    SELECT
        CASE WHEN n.kind = 0 AND n.here <> '' AND n.there <> '' THEN 3 ELSE n.kind END AS kind,
        n.here, n.there, n.top, coalesce(a.here, '') AS above,
        n.failed OR (
            coalesce(a.here, '') <> '' AND n.kind NOT IN (4, 5) AND coalesce(a.kind = 3, FALSE)
            AND coalesce(n.parent_id = a.span_id, FALSE) AND coalesce(a.failed, FALSE)
        ) AS failed
    FROM zipkin_node AS n
    JOIN {top} AS t ON n.row_id = t.row_id
    JOIN {remote} AS r ON n.row_id = r.row_id
    LEFT JOIN zipkin_node AS a ON r.up = a.row_id
    LEFT JOIN (SELECT DISTINCT up FROM zipkin_node) AS k ON n.row_id = k.up
    WHERE t.found AND NOT (n.kind = 3 AND k.up IS NOT NULL)
),
found AS (
    SELECT
        CASE
            WHEN kind = 5 THEN there
            WHEN kind = 4 THEN here
            WHEN kind = 3 THEN CASE WHEN here = '' THEN above ELSE here END
            ELSE CASE WHEN above = '' THEN there ELSE above END
        END AS caller,
        CASE WHEN kind IN (3, 4) THEN there ELSE here END AS callee,
        CASE WHEN failed THEN 1 ELSE 0 END AS error
    FROM placed
    WHERE kind <> 0 AND NOT (top AND kind IN (2, 5) AND there = '')
    UNION ALL
    -- A client of another service than the one that it is part of: a call between them was not seen.
    SELECT above, here, 0 FROM placed WHERE kind = 3 AND here <> '' AND above <> '' AND above <> here
)
SELECT caller, callee, count(*) AS calls, sum(error) AS errors
FROM found
WHERE caller <> '' AND callee <> ''
GROUP BY caller, callee
ORDER BY caller, callee
"""
