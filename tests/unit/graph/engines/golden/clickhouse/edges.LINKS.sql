SELECT DISTINCT s.row_id AS later, t.row_id AS earlier
FROM (VIEW source_link) AS l
JOIN span AS s ON l.trace_hi = s.trace_hi AND l.trace_lo = s.trace_lo AND l.span_id = s.span_id
JOIN span AS t ON l.linked_hi = t.trace_hi AND l.linked_lo = t.trace_lo AND l.linked_span = t.span_id WHERE s.row_id <> t.row_id
