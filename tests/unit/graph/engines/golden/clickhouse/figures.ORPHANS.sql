SELECT s.service AS service, COUNT(*)
FROM span AS s LEFT
JOIN pair ON s.row_id = pair.child WHERE NOT (s.parent_id IS NULL) AND s.parent_id <> s.span_id AND pair.child IS NULL GROUP BY s.service ORDER BY s.service
