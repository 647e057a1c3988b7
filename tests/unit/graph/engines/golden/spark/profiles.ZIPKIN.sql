WITH placed AS (SELECT CASE WHEN n.kind = 0 AND n.here <> '' AND n.there <> '' THEN 3 ELSE n.kind END AS kind, n.here, n.there, n.top, COALESCE(a.here, '') AS above, n.failed OR (COALESCE(a.here, '') <> '' AND NOT n.kind IN (4, 5) AND COALESCE(a.kind = 3, FALSE) AND COALESCE(n.parent_id = a.span_id, FALSE) AND COALESCE(a.failed, FALSE)) AS failed
FROM zipkin_node AS n
JOIN top AS t ON n.row_id = t.row_id
JOIN remote AS r ON n.row_id = r.row_id LEFT
JOIN zipkin_node AS a ON r.up = a.row_id LEFT
JOIN (SELECT DISTINCT up
FROM zipkin_node) AS k ON n.row_id = k.up WHERE t.found AND NOT (n.kind = 3 AND NOT k.up IS NULL)), found AS (SELECT CASE WHEN kind = 5 THEN there WHEN kind = 4 THEN here WHEN kind = 3 THEN CASE WHEN here = '' THEN above ELSE here END ELSE CASE WHEN above = '' THEN there ELSE above END END AS caller, CASE WHEN kind IN (3, 4) THEN there ELSE here END AS callee, CASE WHEN failed THEN 1 ELSE 0 END AS error
FROM placed WHERE kind <> 0 AND NOT (top AND kind IN (2, 5) AND there = '') UNION ALL SELECT above, here, 0
FROM placed WHERE kind = 3 AND here <> '' AND above <> '' AND above <> here) SELECT caller, callee, COUNT(*) AS calls, SUM(error) AS errors
FROM found WHERE caller <> '' AND callee <> '' GROUP BY caller, callee ORDER BY caller NULLS LAST, callee NULLS LAST
