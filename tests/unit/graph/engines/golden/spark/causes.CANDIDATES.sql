SELECT c.row_id, c.parent, c.trace_hi, c.trace_lo
FROM risen AS c
JOIN trace_root AS r ON c.trace_hi = r.trace_hi AND c.trace_lo = r.trace_lo LEFT
JOIN failing AS p ON c.above = p.row_id WHERE c.kind = 2 AND NOT c.parent IS NULL AND p.row_id IS NULL AND NOT r.kind IN (2, 5)
