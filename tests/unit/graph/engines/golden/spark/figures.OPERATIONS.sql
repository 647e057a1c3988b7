SELECT s.service, s.name, COUNT(*), SUM(CASE WHEN s.failed THEN 1 ELSE 0 END)
FROM span AS s
JOIN entry AS n ON s.row_id = n.row_id GROUP BY s.service, s.name ORDER BY s.service NULLS LAST, s.name NULLS LAST
