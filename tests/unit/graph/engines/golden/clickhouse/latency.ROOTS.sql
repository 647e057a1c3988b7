SELECT s.start_ns AS start_ns, s.duration_ns AS duration_ns, CASE WHEN s.parent_id IS NULL OR s.parent_id = s.span_id THEN 1 ELSE 0 END AS true_root
FROM span AS s LEFT
JOIN pair ON s.row_id = pair.child WHERE pair.child IS NULL
