SELECT s.*
FROM (VIEW source) AS s
JOIN wanted AS w ON s.trace_hi = w.trace_hi AND s.trace_lo = w.trace_lo
