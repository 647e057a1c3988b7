SELECT edge_id, source_kind, source_name, source_system, target_kind, target_name, target_system
FROM edge
