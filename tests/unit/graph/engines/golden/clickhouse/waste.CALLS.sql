SELECT c.row_id AS row_id, c.span_id AS span_id, c.name AS name, c.start_ns AS start_ns, c.end_ns AS end_ns, c.duration_ns AS duration_ns, c.failed AS failed, c.kind = 4 OR k.asynchronous = 1 AS asynchronous, k.edge_id AS edge_id, p.row_id AS parent, p.duration_ns AS parent_ns
FROM (SELECT u.span_row AS span_row, MIN(u.edge_id) AS edge_id, MIN(CASE WHEN u.asynchronous THEN 1 ELSE 0 END) AS asynchronous
FROM usage AS u
JOIN edge AS e ON u.edge_id = e.edge_id WHERE u.counted AND u.rule <> 'link' AND e.source_kind <> 'queue' GROUP BY u.span_row) AS k
JOIN span AS c ON k.span_row = c.row_id
JOIN pair ON c.row_id = pair.child
JOIN span AS p ON pair.parent = p.row_id WHERE c.kind IN (3, 4) AND p.service <> 'tracer-bullet' UNION ALL SELECT c.row_id, c.span_id AS span_id, c.name AS name, c.start_ns AS start_ns, c.end_ns AS end_ns, c.duration_ns, c.failed AS failed, k.asynchronous AS asynchronous, e.edge_id AS edge_id, p.row_id, p.duration_ns
FROM call AS k
JOIN span AS c ON k.callee = c.row_id
JOIN span AS p ON k.caller = p.row_id
JOIN edge AS e ON e.source_kind = 'service' AND e.target_kind = 'service' AND e.source_name = k.source AND e.target_name = k.target WHERE NOT (p.kind IN (3, 4)) AND p.service <> 'tracer-bullet'
