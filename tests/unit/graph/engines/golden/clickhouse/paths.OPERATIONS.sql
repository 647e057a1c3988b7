SELECT CAST(ROW_NUMBER() OVER (ORDER BY service, name) AS Nullable(Int32)) AS operation_id, CAST(DENSE_RANK() OVER (ORDER BY service) AS Nullable(Int32)) AS service_id, service, name
FROM (SELECT service, name
FROM span GROUP BY service, name) AS known
