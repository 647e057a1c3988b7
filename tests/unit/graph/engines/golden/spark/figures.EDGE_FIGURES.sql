SELECT e.edge_id, e.source_kind, e.source_name, e.source_system, e.target_kind, e.target_name, e.target_system, u.calls, u.errors, u.asynchronous
FROM edge AS e
JOIN (SELECT edge_id, COUNT(*) AS calls, SUM(CASE WHEN failed THEN 1 ELSE 0 END) AS errors, MIN(CASE WHEN asynchronous THEN 1 ELSE 0 END) AS asynchronous
FROM usage WHERE counted GROUP BY edge_id) AS u ON e.edge_id = u.edge_id ORDER BY e.edge_id NULLS LAST
