SELECT source_kind, source_name, source_system, target_kind, target_name, target_system, operation
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY source_kind, source_name, source_system, target_kind, target_name, target_system ORDER BY calls DESC, operation NULLS LAST) AS place
FROM (SELECT source_kind, source_name, source_system, target_kind, target_name, target_system, operation, COUNT(*) AS calls
FROM ask GROUP BY source_kind, source_name, source_system, target_kind, target_name, target_system, operation) AS counted) AS ranked WHERE place <= most
