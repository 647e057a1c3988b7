WITH half AS (SELECT s.trace_hi AS trace_hi, s.trace_lo AS trace_lo, s.span_id AS span_id, s.parent_id AS parent_id, s.service AS service, s.kind AS kind, s.failed AS failed, s.start_ns AS start_ns, COALESCE(n.peer, '') AS peer, COALESCE(n.store, '') AS store
FROM span AS s LEFT
JOIN said AS n ON s.trace_hi = n.trace_hi AND s.trace_lo = n.trace_lo AND s.span_id = n.span_id WHERE s.kind IN (2, 3, 4, 5) AND s.service <> 'unknown_service'), server AS (SELECT trace_hi, trace_lo, parent_id, service, failed, ROW_NUMBER() OVER (PARTITION BY trace_hi, trace_lo, parent_id ORDER BY start_ns, CASE WHEN span_id < 0 THEN 1 ELSE 0 END, span_id) AS place
FROM half WHERE kind IN (2, 5) AND NOT (parent_id IS NULL)), root AS (SELECT service, peer, MAX(toNullable(CASE WHEN failed THEN 1 ELSE 0 END)) OVER (PARTITION BY trace_hi, trace_lo) AS error, ROW_NUMBER() OVER (PARTITION BY trace_hi, trace_lo ORDER BY start_ns DESC, CASE WHEN span_id < 0 THEN 1 ELSE 0 END, span_id) AS place
FROM half WHERE kind IN (2, 5) AND parent_id IS NULL), found AS (SELECT c.service AS caller, CASE WHEN c.store <> '' THEN c.store ELSE COALESCE(s.service, c.peer) END AS callee, CASE WHEN c.failed OR (c.store = '' AND COALESCE(s.failed, FALSE)) THEN 1 ELSE 0 END AS error
FROM half AS c LEFT
JOIN (SELECT trace_hi, trace_lo, parent_id, service, failed
FROM server WHERE place = 1) AS s ON c.trace_hi = s.trace_hi AND c.trace_lo = s.trace_lo AND c.span_id = s.parent_id WHERE c.kind IN (3, 4) AND (c.store <> '' OR NOT (s.service IS NULL) OR c.peer <> '') UNION ALL SELECT CASE WHEN peer = '' THEN 'user' ELSE peer END, service, error
FROM root WHERE place = 1) SELECT caller, callee, COUNT(*) AS calls, SUM(error) AS errors
FROM found GROUP BY caller, callee ORDER BY caller, callee
