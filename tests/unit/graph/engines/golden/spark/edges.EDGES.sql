SELECT CAST(ROW_NUMBER() OVER (ORDER BY source_kind NULLS LAST, source_name NULLS LAST, source_system NULLS LAST, target_kind NULLS LAST, target_name NULLS LAST, target_system NULLS LAST) AS INT) AS edge_id, source_kind, source_name, source_system, target_kind, target_name, target_system
FROM hop GROUP BY source_kind, source_name, source_system, target_kind, target_name, target_system
