WITH root AS (SELECT trace_hi, trace_lo, row_id
FROM (SELECT trace_hi, trace_lo, row_id, ROW_NUMBER() OVER (PARTITION BY trace_hi, trace_lo ORDER BY CASE WHEN span_id < 0 THEN 1 ELSE 0 END NULLS LAST, span_id NULLS LAST) AS place
FROM span WHERE parent_id IS NULL OR parent_id = span_id) AS ranked WHERE place = 1) SELECT s.row_id, s.span_id, s.parent_id, CASE WHEN s.kind < 2 THEN 0 ELSE s.kind END AS kind, CASE WHEN s.service = 'unknown_service' THEN '' ELSE LOWER(s.service) END AS here, LOWER(COALESCE(n.remote, '')) AS there, s.failed OR COALESCE(n.error, '') <> '' AS failed, s.row_id = COALESCE(root.row_id, -1) AS top, CASE WHEN NOT pair.parent IS NULL THEN pair.parent WHEN s.row_id = root.row_id THEN NULL ELSE root.row_id END AS up
FROM span AS s LEFT
JOIN pair ON s.row_id = pair.child LEFT
JOIN root ON s.trace_hi = root.trace_hi AND s.trace_lo = root.trace_lo LEFT
JOIN said AS n ON s.trace_hi = n.trace_hi AND s.trace_lo = n.trace_lo AND s.span_id = n.span_id
