SELECT s.row_id, s.trace_hi, s.trace_lo, s.span_id, s.service, s.name, s.target_name, s.stratum, s.slow, s.start_ns, GREATEST(s.start_ns, LEAST(s.end_ns, COALESCE(c.cut_ns, s.end_ns))) AS end_ns
FROM timed_span AS s LEFT
JOIN cut AS c ON s.row_id = c.row_id
