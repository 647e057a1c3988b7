SELECT c.row_id AS child, p.row_id AS parent
FROM span AS c
JOIN span AS p ON c.trace_hi = p.trace_hi AND c.trace_lo = p.trace_lo AND c.parent_id = p.span_id WHERE c.row_id <> p.row_id
