SELECT s.row_id AS row_id, s.trace_hi AS trace_hi, s.trace_lo AS trace_lo, s.span_id AS span_id, s.service AS service, s.name AS name, s.kind AS kind, s.start_ns AS start_ns, s.end_ns AS end_ns, s.duration_ns AS duration_ns, s.failed AS failed, NOT (s.parent_id IS NULL) AND s.parent_id <> s.span_id AS orphan
FROM span AS s LEFT
JOIN pair ON s.row_id = pair.child WHERE pair.child IS NULL
