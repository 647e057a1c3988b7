WITH clipped AS (SELECT pair.parent AS parent, GREATEST(c.start_ns, p.start_ns) AS start_ns, LEAST(c.end_ns, p.end_ns) AS end_ns
FROM pair
JOIN entry AS n ON pair.parent = n.row_id
JOIN span AS p ON pair.parent = p.row_id
JOIN span AS c ON pair.child = c.row_id WHERE c.end_ns > p.start_ns AND c.start_ns < p.end_ns), ordered AS (SELECT parent, start_ns, end_ns, MAX(toNullable(end_ns)) OVER (PARTITION BY parent ORDER BY start_ns, end_ns ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS covered_to
FROM clipped), covered AS (SELECT parent, SUM(GREATEST(end_ns - GREATEST(start_ns, COALESCE(covered_to, start_ns)), 0)) AS covered_ns
FROM ordered GROUP BY parent) SELECT s.row_id AS row_id, s.duration_ns - COALESCE(c.covered_ns, 0) AS own_ns
FROM span AS s
JOIN entry AS n ON s.row_id = n.row_id LEFT
JOIN covered AS c ON s.row_id = c.parent
