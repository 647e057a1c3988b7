SELECT o.objective_id, o.window_ns, s.start_ns, s.duration_ns, CASE WHEN o.threshold_ns >= 0 THEN CASE WHEN s.duration_ns > o.threshold_ns THEN 1 ELSE 0 END WHEN s.failed AND (o.client_errors = 1 OR c.row_id IS NULL) THEN 1 ELSE 0 END AS bad
FROM span AS s
JOIN entry AS n ON s.row_id = n.row_id
JOIN objective AS o ON s.service = o.service LEFT
JOIN client_fault AS c ON s.row_id = c.row_id WHERE (o.operation = '' OR s.name = o.operation)
