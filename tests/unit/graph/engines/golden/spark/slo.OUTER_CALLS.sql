SELECT s.row_id, s.trace_hi, s.trace_lo, s.span_id, s.duration_ns
FROM span AS s
JOIN entry AS n ON s.row_id = n.row_id
JOIN outer_call AS o ON s.service = o.service WHERE (o.operation = '' OR s.name = o.operation) ORDER BY s.duration_ns NULLS LAST, s.trace_hi NULLS LAST, s.trace_lo NULLS LAST, s.span_id NULLS LAST
