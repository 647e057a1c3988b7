SELECT e.edge_id AS edge_id, e.source_kind AS source_kind, e.source_name AS source_name, e.source_system AS source_system, e.target_kind AS target_kind, e.target_name AS target_name, e.target_system AS target_system, u.calls AS calls, u.errors AS errors, u.asynchronous AS asynchronous
FROM edge AS e
JOIN (SELECT edge_id, COUNT(*) AS calls, SUM(CASE WHEN failed THEN 1 ELSE 0 END) AS errors, MIN(CASE WHEN asynchronous THEN 1 ELSE 0 END) AS asynchronous
FROM usage WHERE counted GROUP BY edge_id) AS u ON e.edge_id = u.edge_id ORDER BY e.edge_id
