SELECT s.trace_hi, s.trace_lo, COUNT(*) AS spans
FROM span AS s
JOIN (SELECT DISTINCT c.trace_hi, c.trace_lo
FROM span AS c
JOIN entry AS n ON c.row_id = n.row_id
JOIN outer_call AS o ON c.service = o.service WHERE (o.operation = '' OR c.name = o.operation)) AS t ON s.trace_hi = t.trace_hi AND s.trace_lo = t.trace_lo GROUP BY s.trace_hi, s.trace_lo ORDER BY s.trace_hi NULLS LAST, s.trace_lo NULLS LAST
