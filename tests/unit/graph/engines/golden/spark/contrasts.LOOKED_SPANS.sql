SELECT s.trace_hi, s.trace_lo, s.span_id, s.service, l.trace_no, l.stratum, l.bad
FROM span AS s
JOIN looked AS l ON s.trace_hi = l.trace_hi AND s.trace_lo = l.trace_lo
