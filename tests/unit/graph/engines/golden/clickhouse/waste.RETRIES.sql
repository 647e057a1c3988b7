SELECT r.parent AS parent, r.edge_id AS edge_id, r.name AS name, r.cost_ns AS cost_ns
FROM (SELECT m.parent AS parent, m.edge_id AS edge_id, m.name AS name, m.row_id AS row_id, m.start_ns AS start_ns, m.start_ns - lag(toNullable(m.start_ns)) OVER (PARTITION BY m.parent, m.edge_id, m.name ORDER BY m.start_ns, m.end_ns, m.span_id) AS cost_ns, lag(toNullable(m.end_ns)) OVER (PARTITION BY m.parent, m.edge_id, m.name ORDER BY m.start_ns, m.end_ns, m.span_id) AS before_ended_ns, lag(toNullable(CASE WHEN m.failed THEN 1 ELSE 0 END)) OVER (PARTITION BY m.parent, m.edge_id, m.name ORDER BY m.start_ns, m.end_ns, m.span_id) AS before_failed
FROM made AS m
JOIN (SELECT parent, edge_id, name
FROM made GROUP BY parent, edge_id, name HAVING COUNT(*) > 1) AS k ON m.parent = k.parent AND m.edge_id = k.edge_id AND m.name = k.name) AS r LEFT
JOIN resent AS a ON r.row_id = a.row_id WHERE r.before_ended_ns <= r.start_ns AND (r.before_failed = 1 OR NOT (a.row_id IS NULL))
