SELECT CAST(ROW_NUMBER() OVER (ORDER BY service NULLS LAST, name NULLS LAST) AS INT) AS operation_id, CAST(DENSE_RANK() OVER (ORDER BY service NULLS LAST) AS INT) AS service_id, service, name
FROM (SELECT service, name
FROM span GROUP BY service, name) AS known
