SELECT trace_hi, trace_lo, COUNT(*)
FROM (SELECT c.trace_hi, c.trace_lo
FROM usage AS u
JOIN span AS c ON u.span_row = c.row_id WHERE u.counted AND c.kind = 3 AND c.failed AND u.edge_id = edge_id AND c.duration_ns >= least_ns) AS late GROUP BY trace_hi, trace_lo ORDER BY trace_hi NULLS LAST, trace_lo NULLS LAST
