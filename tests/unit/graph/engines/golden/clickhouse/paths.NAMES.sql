SELECT service, name
FROM path_operation ORDER BY operation_id
