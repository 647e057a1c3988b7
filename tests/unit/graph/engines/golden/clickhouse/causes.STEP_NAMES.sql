SELECT s.row_id AS row_id, s.service AS service, s.name AS name
FROM span AS s
JOIN (SELECT DISTINCT row_id
FROM wanted_step) AS w ON s.row_id = w.row_id
