SELECT trace_hi, trace_lo, service, name, duration_ns
FROM judged ORDER BY duration_ns DESC, trace_hi, trace_lo LIMIT 1
