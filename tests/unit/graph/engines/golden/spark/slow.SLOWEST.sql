SELECT trace_hi, trace_lo, service, name, duration_ns
FROM judged ORDER BY duration_ns DESC, trace_hi NULLS LAST, trace_lo NULLS LAST LIMIT 1
