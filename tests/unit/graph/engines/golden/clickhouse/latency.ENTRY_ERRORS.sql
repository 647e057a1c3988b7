SELECT service, name, SUM(errors), COUNT(*)
FROM (SELECT s.service AS service, s.name AS name, s.trace_hi AS trace_hi, s.trace_lo AS trace_lo, SUM(CASE WHEN s.failed THEN 1 ELSE 0 END) AS errors
FROM span AS s
JOIN own_time AS o ON s.row_id = o.row_id GROUP BY s.service, s.name, s.trace_hi, s.trace_lo) AS met GROUP BY service, name
