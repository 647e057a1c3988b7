SELECT s.row_id AS row_id, s.trace_hi AS trace_hi, s.trace_lo AS trace_lo, s.span_id AS span_id, s.service AS service, s.name AS name, s.target_name AS target_name, t.stratum AS stratum, t.slow AS slow, GREATEST(s.start_ns, t.start_ns) AS start_ns, LEAST(s.end_ns, t.end_ns) AS end_ns
FROM span AS s
JOIN timed AS t ON s.trace_hi = t.trace_hi AND s.trace_lo = t.trace_lo WHERE s.end_ns > t.start_ns AND s.start_ns < t.end_ns
