SELECT c.row_id AS row_id, c.parent AS parent, c.trace_hi AS trace_hi, c.trace_lo AS trace_lo
FROM risen AS c
JOIN trace_root AS r ON c.trace_hi = r.trace_hi AND c.trace_lo = r.trace_lo LEFT
JOIN failing AS p ON c.above = p.row_id WHERE c.kind = 2 AND NOT (c.parent IS NULL) AND p.row_id IS NULL AND NOT (r.kind IN (2, 5))
