SELECT s.row_id AS row_id, s.trace_hi AS trace_hi, s.trace_lo AS trace_lo, s.span_id AS span_id, s.service AS service, s.name AS name, s.target_name AS target_name, s.stratum AS stratum, s.slow AS slow, s.start_ns AS start_ns, GREATEST(s.start_ns, LEAST(s.end_ns, COALESCE(c.cut_ns, s.end_ns))) AS end_ns
FROM timed_span AS s LEFT
JOIN cut AS c ON s.row_id = c.row_id
