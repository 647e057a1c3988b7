SELECT s.row_id, s.trace_hi, s.trace_lo, s.span_id, s.service, s.name, s.target_name, t.stratum, t.slow, GREATEST(s.start_ns, t.start_ns) AS start_ns, LEAST(s.end_ns, t.end_ns) AS end_ns
FROM span AS s
JOIN timed AS t ON s.trace_hi = t.trace_hi AND s.trace_lo = t.trace_lo WHERE s.end_ns > t.start_ns AND s.start_ns < t.end_ns
