WITH middle AS (SELECT service, name, MAX(CASE WHEN place = FLOOR((traces + 1) / 2) THEN log_ns END) AS median
FROM paced WHERE traces >= fewest GROUP BY service, name), apart AS (SELECT p.service, p.name, p.traces, m.median, ABS(p.log_ns - m.median) AS distance, ROW_NUMBER() OVER (PARTITION BY p.service, p.name ORDER BY ABS(p.log_ns - m.median) NULLS LAST) AS place
FROM paced AS p
JOIN middle AS m ON p.service = m.service AND p.name = m.name) SELECT service, name, MAX(median) AS median, MAX(median) + GREATEST(LN(2), 4 * 1.4826 * MAX(CASE WHEN place = FLOOR((traces + 1) / 2) THEN distance END)) AS limit_log
FROM apart GROUP BY service, name
