SELECT DISTINCT s.service, s.name
FROM span AS s
JOIN entry AS n ON s.row_id = n.row_id ORDER BY s.service NULLS LAST, s.name NULLS LAST
