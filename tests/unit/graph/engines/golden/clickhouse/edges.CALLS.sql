SELECT p.row_id AS caller, c.row_id AS callee, p.service AS source, c.service AS target, CASE WHEN p.kind = 3 AND c.kind = 2 THEN 'client-server' ELSE 'parent-child' END AS rule, CASE WHEN p.kind = 3 THEN p.duration_ns ELSE c.duration_ns END AS duration_ns, c.failed OR (p.kind = 3 AND p.failed) AS failed, (p.kind = 4 OR c.kind = 5) AS asynchronous
FROM pair
JOIN span AS c ON pair.child = c.row_id
JOIN span AS p ON pair.parent = p.row_id WHERE (p.kind = 3 AND c.kind = 2) OR (p.service <> c.service AND NOT (p.direction = 'out' AND (c.kind = 5 OR c.direction = 'in')))
