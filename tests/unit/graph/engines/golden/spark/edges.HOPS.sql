SELECT 'service' AS source_kind, k.source AS source_name, '' AS source_system, 'service' AS target_kind, k.target AS target_name, '' AS target_system, k.rule, k.caller AS span_row, k.duration_ns, k.failed, k.asynchronous, TRUE AS counted
FROM call AS k UNION ALL SELECT 'service', s.service, '', s.target_kind, s.target_name, s.target_system, CASE s.target_kind WHEN 'store' THEN 'database' ELSE 'messaging' END, s.row_id, s.duration_ns, s.failed, s.target_kind = 'queue', n.row_id IS NULL
FROM span AS s LEFT
JOIN answered AS a ON s.row_id = a.row_id LEFT
JOIN nested AS n ON s.row_id = n.row_id WHERE (s.target_kind = 'store' AND a.row_id IS NULL) OR (s.target_kind = 'queue' AND s.direction = 'out') UNION ALL SELECT 'queue', s.target_name, s.target_system, 'service', s.service, '', 'messaging', s.row_id, s.duration_ns, s.failed, TRUE, n.row_id IS NULL
FROM span AS s LEFT
JOIN nested AS n ON s.row_id = n.row_id WHERE s.target_kind = 'queue' AND s.direction = 'in' UNION ALL SELECT 'queue', p.target_name, p.target_system, 'service', c.service, '', 'messaging', c.row_id, c.duration_ns, c.failed, TRUE, TRUE
FROM pair
JOIN span AS c ON pair.child = c.row_id
JOIN span AS p ON pair.parent = p.row_id WHERE p.direction = 'out' AND c.kind = 5 AND c.target_kind <> 'queue' UNION ALL SELECT 'queue', CASE WHEN s.direction = 'in' THEN s.target_name ELSE t.target_name END, CASE WHEN s.direction = 'in' THEN s.target_system ELSE t.target_system END, 'service', s.service, '', 'link', s.row_id, s.duration_ns, s.failed, TRUE, s.direction <> 'in' AND pair.child IS NULL
FROM linked AS l
JOIN span AS s ON l.later = s.row_id
JOIN span AS t ON l.earlier = t.row_id LEFT
JOIN pair ON l.later = pair.child AND l.earlier = pair.parent WHERE t.target_kind = 'queue' AND t.direction <> 'in' AND (s.target_kind <> 'queue' OR s.direction = 'in' OR (s.direction = 'out' AND s.service <> t.service)) UNION ALL SELECT 'service', t.service, '', 'service', s.service, '', 'link', t.row_id, s.duration_ns, s.failed, TRUE, pair.child IS NULL
FROM linked AS l
JOIN span AS s ON l.later = s.row_id
JOIN span AS t ON l.earlier = t.row_id LEFT
JOIN pair ON l.later = pair.child AND l.earlier = pair.parent WHERE s.service <> t.service AND (t.target_kind <> 'queue' OR t.direction = 'in') AND (s.target_kind <> 'queue' OR s.direction <> '') UNION ALL SELECT 'service', s.service, '', CASE WHEN NOT t.host IS NULL OR s.decision = 'stubbed' THEN 'third_party' WHEN NOT known.service IS NULL THEN 'service' ELSE 'peer' END, CASE WHEN t.host IS NULL AND COALESCE(s.decision, '') <> 'stubbed' AND NOT known.service IS NULL THEN known.service ELSE s.target_name END, '', CASE WHEN NOT t.host IS NULL OR s.decision = 'stubbed' THEN 'third-party' ELSE 'peer' END, s.row_id, s.duration_ns, s.failed, s.kind = 4, TRUE
FROM span AS s LEFT
JOIN answered AS a ON s.row_id = a.row_id LEFT
JOIN third_party AS t ON s.host = t.host AND s.port = t.port LEFT
JOIN (SELECT DISTINCT service
FROM span) AS known ON s.peer_service = known.service WHERE s.target_kind = 'address' AND a.row_id IS NULL
