SELECT s.row_id, COALESCE(pair.parent, 0) AS parent
FROM span AS s
JOIN (SELECT DISTINCT trace_hi, trace_lo
FROM wanted_path) AS t ON s.trace_hi = t.trace_hi AND s.trace_lo = t.trace_lo LEFT
JOIN pair ON s.row_id = pair.child ORDER BY s.row_id NULLS LAST
