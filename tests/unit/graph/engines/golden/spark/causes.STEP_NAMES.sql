SELECT s.row_id, s.service, s.name
FROM span AS s
JOIN (SELECT DISTINCT row_id
FROM wanted_step) AS w ON s.row_id = w.row_id
