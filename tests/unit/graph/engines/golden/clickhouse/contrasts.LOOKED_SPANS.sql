SELECT s.trace_hi AS trace_hi, s.trace_lo AS trace_lo, s.span_id AS span_id, s.service AS service, l.trace_no AS trace_no, l.stratum AS stratum, l.bad AS bad
FROM span AS s
JOIN looked AS l ON s.trace_hi = l.trace_hi AND s.trace_lo = l.trace_lo
