SELECT s.service, COUNT(n.row_id), SUM(CASE WHEN NOT n.row_id IS NULL AND s.failed THEN 1 ELSE 0 END)
FROM span AS s LEFT
JOIN entry AS n ON s.row_id = n.row_id GROUP BY s.service ORDER BY s.service NULLS LAST
