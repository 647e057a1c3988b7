SELECT s.service AS service, s.name AS name, COUNT(*), SUM(CASE WHEN s.failed THEN 1 ELSE 0 END)
FROM span AS s WHERE s.kind IN (2, 5) GROUP BY s.service, s.name ORDER BY s.service, s.name
