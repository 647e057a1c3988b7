SELECT CAST(ROW_NUMBER() OVER (ORDER BY source_kind, source_name, source_system, target_kind, target_name, target_system) AS Nullable(Int32)) AS edge_id, source_kind, source_name, source_system, target_kind, target_name, target_system
FROM hop GROUP BY source_kind, source_name, source_system, target_kind, target_name, target_system
