SELECT 'service' AS source_kind, k.source AS source_name, '' AS source_system, w.owner AS owner, 'service' AS target_kind, k.target AS target_name, '' AS target_system, t.name AS operation, k.failed AS failed, k.asynchronous AS asynchronous, c.start_ns AS start_ns
FROM call AS k
JOIN owners AS w ON k.caller = w.row_id
JOIN span AS t ON k.callee = t.row_id
JOIN span AS c ON k.caller = c.row_id UNION ALL SELECT e.source_kind AS source_kind, e.source_name AS source_name, e.source_system AS source_system, w.owner AS owner, e.target_kind AS target_kind, e.target_name AS target_name, e.target_system AS target_system, CASE WHEN e.target_kind = 'queue' THEN '' WHEN e.source_kind = 'queue' THEN o.name WHEN e.target_kind = 'store' THEN COALESCE(nullIf(a.statement, ''), c.name) ELSE COALESCE(nullIf(a.request, ''), c.name) END, u.failed AS failed, u.asynchronous AS asynchronous, c.start_ns AS start_ns
FROM usage AS u
JOIN edge AS e ON u.edge_id = e.edge_id
JOIN owners AS w ON u.span_row = w.row_id
JOIN span AS o ON w.owner = o.row_id
JOIN span AS c ON u.span_row = c.row_id LEFT
JOIN asked AS a ON c.trace_hi = a.trace_hi AND c.trace_lo = a.trace_lo AND c.span_id = a.span_id WHERE u.counted AND NOT (u.rule IN ('client-server', 'parent-child')) AND (u.rule <> 'link' OR e.source_kind = 'queue') UNION ALL SELECT 'service', t.service, '', w.owner AS owner, 'service', s.service, '', o.name AS name, s.failed AS failed, TRUE, t.start_ns AS start_ns
FROM linked AS l
JOIN span AS s ON l.later = s.row_id
JOIN span AS t ON l.earlier = t.row_id
JOIN owners AS w ON l.earlier = w.row_id
JOIN owners AS v ON l.later = v.row_id
JOIN span AS o ON v.owner = o.row_id LEFT
JOIN pair ON l.later = pair.child AND l.earlier = pair.parent WHERE pair.child IS NULL AND s.service <> t.service AND (t.target_kind <> 'queue' OR t.direction = 'in') AND (s.target_kind <> 'queue' OR s.direction <> '')
