SELECT waste, service, operation, edge_id, name, before_edge, before_name, CAST(traces AS BIGINT), trace_hi, trace_lo
FROM (SELECT *, COUNT(*) OVER (PARTITION BY waste, service, operation, edge_id, name, before_edge, before_name) AS traces, ROW_NUMBER() OVER (PARTITION BY waste, service, operation, edge_id, name, before_edge, before_name ORDER BY trace_hi NULLS LAST, trace_lo NULLS LAST) AS place
FROM (SELECT DISTINCT w.waste, w.service, w.operation, w.edge_id, w.name, w.before_edge, w.before_name, w.trace_hi, w.trace_lo
FROM waste AS w
JOIN waste_place AS p ON w.waste = p.waste AND w.service = p.service AND w.operation = p.operation AND w.edge_id = p.edge_id AND w.name = p.name AND w.before_edge = p.before_edge AND w.before_name = p.before_name) AS single) AS placed WHERE place <= 3 ORDER BY waste NULLS LAST, service NULLS LAST, operation NULLS LAST, edge_id NULLS LAST, name NULLS LAST, before_edge NULLS LAST, before_name NULLS LAST, place NULLS LAST
