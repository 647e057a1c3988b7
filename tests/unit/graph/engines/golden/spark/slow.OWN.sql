WITH clipped AS (SELECT pair.parent, GREATEST(c.start_ns, p.start_ns) AS start_ns, LEAST(c.end_ns, p.end_ns) AS end_ns
FROM within_root AS p
JOIN pair ON p.row_id = pair.parent
JOIN within_root AS c ON pair.child = c.row_id WHERE c.end_ns > p.start_ns AND c.start_ns < p.end_ns), ordered AS (SELECT parent, start_ns, end_ns, MAX(end_ns) OVER (PARTITION BY parent ORDER BY start_ns NULLS LAST, end_ns NULLS LAST ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS covered_to
FROM clipped), covered AS (SELECT parent, SUM(GREATEST(end_ns - GREATEST(start_ns, COALESCE(covered_to, start_ns)), 0)) AS covered_ns
FROM ordered GROUP BY parent) SELECT w.row_id, w.trace_hi, w.trace_lo, w.span_id, w.stratum, w.slow, w.service, w.name, w.target_name, CAST(GREATEST(w.end_ns - w.start_ns, 0) - COALESCE(c.covered_ns, 0) AS BIGINT) AS own_ns
FROM within_root AS w LEFT
JOIN covered AS c ON w.row_id = c.parent
