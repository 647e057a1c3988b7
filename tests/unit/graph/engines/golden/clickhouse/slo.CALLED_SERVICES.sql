SELECT DISTINCT service
FROM span ORDER BY service
