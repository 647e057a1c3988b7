WITH crowd AS (SELECT parent, edge_id, name, COUNT(*) AS size
FROM made GROUP BY parent, edge_id, name HAVING COUNT(*) > 10), placed AS (SELECT m.*, k.size AS size, ROW_NUMBER() OVER (PARTITION BY m.parent, m.edge_id, m.name ORDER BY m.duration_ns, m.span_id) AS place
FROM made AS m
JOIN crowd AS k ON m.parent = k.parent AND m.edge_id = k.edge_id AND m.name = k.name), middle AS (SELECT parent, edge_id, name, duration_ns AS median_ns
FROM placed WHERE place = FLOOR((size + 1) / 2)) SELECT p.parent AS parent, p.edge_id AS edge_id, p.name AS name, COUNT(*) AS size, LEAST(SUM(p.duration_ns), MAX(p.end_ns) - MIN(p.start_ns)) - MAX(p.duration_ns) AS cost_ns
FROM placed AS p
JOIN middle AS m ON p.parent = m.parent AND p.edge_id = m.edge_id AND p.name = m.name WHERE p.duration_ns >= m.median_ns - p.duration_ns AND p.duration_ns - m.median_ns <= m.median_ns GROUP BY p.parent, p.edge_id, p.name HAVING COUNT(*) > 10
