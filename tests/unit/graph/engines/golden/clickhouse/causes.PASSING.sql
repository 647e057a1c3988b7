SELECT x.row_id AS row_id, pair.parent AS far
FROM span AS x
JOIN suspect AS t ON x.trace_hi = t.trace_hi AND x.trace_lo = t.trace_lo
JOIN pair ON x.row_id = pair.child
JOIN span AS p ON pair.parent = p.row_id LEFT
JOIN (SELECT DISTINCT parent
FROM failing WHERE kind = 2) AS half ON x.row_id = half.parent WHERE NOT x.failed AND ((x.kind IN (0, 1) AND p.service = x.service) OR (x.kind = 3 AND NOT (half.parent IS NULL)))
