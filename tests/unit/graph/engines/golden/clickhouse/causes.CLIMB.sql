SELECT x.row_id AS row_id, pair.parent AS far
FROM span AS x
JOIN (SELECT DISTINCT trace_hi, trace_lo
FROM candidate) AS t ON x.trace_hi = t.trace_hi AND x.trace_lo = t.trace_lo
JOIN pair ON x.row_id = pair.child WHERE NOT (x.kind IN (2, 5))
