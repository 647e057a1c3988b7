SELECT DISTINCT s.row_id AS row_id
FROM (SELECT trace_hi, trace_lo, span_id
FROM (VIEW source) AS source WHERE kind = 3 AND NOT (COALESCE(attributes['http.request.resend_count'], '') IN ('', '0'))) AS r
JOIN span AS s ON r.trace_hi = s.trace_hi AND r.trace_lo = s.trace_lo AND r.span_id = s.span_id
