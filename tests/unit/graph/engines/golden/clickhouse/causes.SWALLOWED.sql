SELECT trace_hi, trace_lo, leaf
FROM (SELECT c.trace_hi AS trace_hi, c.trace_lo AS trace_lo, COALESCE(d.far, c.row_id) AS leaf, ROW_NUMBER() OVER (PARTITION BY c.trace_hi, c.trace_lo ORDER BY c.start_ns, c.span_id) AS place
FROM risen AS c LEFT
JOIN failing AS p ON c.above = p.row_id LEFT
JOIN failed_trace AS b ON c.trace_hi = b.trace_hi AND c.trace_lo = b.trace_lo LEFT
JOIN down AS d ON c.row_id = d.row_id WHERE p.row_id IS NULL AND b.leaf IS NULL AND NOT c.cancelled) AS placed WHERE place = 1
