SELECT DISTINCT s.service AS service, s.name AS name
FROM span AS s
JOIN entry AS n ON s.row_id = n.row_id ORDER BY s.service, s.name
