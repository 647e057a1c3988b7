SELECT f.waste AS waste, e.source_name AS service, p.name AS operation, f.edge_id AS edge_id, f.name AS name, f.before_edge AS before_edge, f.before_name AS before_name, f.size AS size, f.cost_ns AS cost_ns, p.trace_hi AS trace_hi, p.trace_lo AS trace_lo
FROM (SELECT 'repeated-calls' AS waste, parent, edge_id, name, 0 AS before_edge, '' AS before_name, size, cost_ns
FROM repeated UNION ALL SELECT 'retry', parent, edge_id, name, 0, '', 1, cost_ns
FROM retried UNION ALL SELECT 'sequential-calls', parent, edge_id, name, before_edge, before_name, 1, cost_ns
FROM sequential UNION ALL SELECT 'timeout-beyond-caller', parent, edge_id, name, 0, '', 1, cost_ns
FROM overrun) AS f
JOIN span AS p ON f.parent = p.row_id
JOIN edge AS e ON f.edge_id = e.edge_id
