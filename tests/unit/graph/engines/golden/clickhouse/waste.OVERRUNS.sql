SELECT parent, edge_id, name, cost_ns
FROM (SELECT p.row_id AS parent, e.edge_id AS edge_id, c.name AS name, CASE WHEN p.machine <> '' AND p.machine = c.machine THEN GREATEST(c.duration_ns - p.duration_ns, c.end_ns - p.end_ns) ELSE c.duration_ns - p.duration_ns END AS cost_ns
FROM call AS k
JOIN span AS p ON k.caller = p.row_id
JOIN span AS c ON k.callee = c.row_id
JOIN edge AS e ON e.source_kind = 'service' AND e.target_kind = 'service' AND e.source_name = k.source AND e.target_name = k.target WHERE p.kind = 3 AND p.failed AND NOT k.asynchronous) AS o WHERE cost_ns > 1000000
