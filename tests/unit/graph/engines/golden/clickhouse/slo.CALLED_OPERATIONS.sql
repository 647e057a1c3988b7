SELECT DISTINCT service, name
FROM span WHERE kind IN (2, 5) ORDER BY service, name
