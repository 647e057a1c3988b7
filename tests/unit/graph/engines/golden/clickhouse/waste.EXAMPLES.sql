SELECT waste, service, operation, edge_id, name, before_edge, before_name, CAST(traces AS Nullable(Int64)), trace_hi, trace_lo
FROM (SELECT *, COUNT(*) OVER (PARTITION BY waste, service, operation, edge_id, name, before_edge, before_name) AS traces, ROW_NUMBER() OVER (PARTITION BY waste, service, operation, edge_id, name, before_edge, before_name ORDER BY trace_hi, trace_lo) AS place
FROM (SELECT DISTINCT w.waste AS waste, w.service AS service, w.operation AS operation, w.edge_id AS edge_id, w.name AS name, w.before_edge AS before_edge, w.before_name AS before_name, w.trace_hi AS trace_hi, w.trace_lo AS trace_lo
FROM waste AS w
JOIN waste_place AS p ON w.waste = p.waste AND w.service = p.service AND w.operation = p.operation AND w.edge_id = p.edge_id AND w.name = p.name AND w.before_edge = p.before_edge AND w.before_name = p.before_name) AS single) AS placed WHERE place <= 3 ORDER BY waste, service, operation, edge_id, name, before_edge, before_name, place
