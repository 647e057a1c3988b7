SELECT s.row_id, s.trace_hi, s.trace_lo, s.span_id, s.service, s.name, s.kind, s.start_ns, s.end_ns, s.duration_ns, s.failed, NOT s.parent_id IS NULL AND s.parent_id <> s.span_id AS orphan
FROM span AS s LEFT
JOIN pair ON s.row_id = pair.child WHERE pair.child IS NULL
