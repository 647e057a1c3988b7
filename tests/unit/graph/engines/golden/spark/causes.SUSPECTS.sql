SELECT trace_hi, trace_lo
FROM failing GROUP BY trace_hi, trace_lo
