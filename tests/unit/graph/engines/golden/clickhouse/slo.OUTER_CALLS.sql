SELECT s.row_id AS row_id, s.trace_hi AS trace_hi, s.trace_lo AS trace_lo, s.span_id AS span_id, s.duration_ns AS duration_ns
FROM span AS s
JOIN entry AS n ON s.row_id = n.row_id
JOIN outer_call AS o ON s.service = o.service WHERE (o.operation = '' OR s.name = o.operation) ORDER BY s.duration_ns, s.trace_hi, s.trace_lo, s.span_id
