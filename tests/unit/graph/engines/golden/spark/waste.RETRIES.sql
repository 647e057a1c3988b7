SELECT r.parent, r.edge_id, r.name, r.cost_ns
FROM (SELECT m.parent, m.edge_id, m.name, m.row_id, m.start_ns, m.start_ns - LAG(m.start_ns) OVER (PARTITION BY m.parent, m.edge_id, m.name ORDER BY m.start_ns NULLS LAST, m.end_ns NULLS LAST, m.span_id NULLS LAST) AS cost_ns, LAG(m.end_ns) OVER (PARTITION BY m.parent, m.edge_id, m.name ORDER BY m.start_ns NULLS LAST, m.end_ns NULLS LAST, m.span_id NULLS LAST) AS before_ended_ns, LAG(CASE WHEN m.failed THEN 1 ELSE 0 END) OVER (PARTITION BY m.parent, m.edge_id, m.name ORDER BY m.start_ns NULLS LAST, m.end_ns NULLS LAST, m.span_id NULLS LAST) AS before_failed
FROM made AS m
JOIN (SELECT parent, edge_id, name
FROM made GROUP BY parent, edge_id, name HAVING COUNT(*) > 1) AS k ON m.parent = k.parent AND m.edge_id = k.edge_id AND m.name = k.name) AS r LEFT
JOIN resent AS a ON r.row_id = a.row_id WHERE r.before_ended_ns <= r.start_ns AND (r.before_failed = 1 OR NOT a.row_id IS NULL)
