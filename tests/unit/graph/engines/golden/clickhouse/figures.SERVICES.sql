SELECT s.service AS service, SUM(CASE WHEN entry THEN 1 ELSE 0 END), SUM(CASE WHEN entry AND failed THEN 1 ELSE 0 END)
FROM (SELECT s.service AS service, s.failed AS failed, s.kind IN (2, 5) OR COALESCE(p.service <> s.service, FALSE) AS entry
FROM span AS s LEFT
JOIN pair ON s.row_id = pair.child LEFT
JOIN span AS p ON pair.parent = p.row_id) AS s GROUP BY s.service ORDER BY s.service
