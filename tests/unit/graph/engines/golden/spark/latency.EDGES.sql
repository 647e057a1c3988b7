SELECT e.edge_id, e.source_kind, e.source_name, e.source_system, e.target_kind, e.target_name, e.target_system, t.calls, t.errors, t.traces
FROM edge AS e
JOIN (SELECT edge_id, SUM(calls) AS calls, SUM(errors) AS errors, COUNT(*) AS traces
FROM (SELECT edge_id, trace_hi, trace_lo, COUNT(*) AS calls, SUM(CASE WHEN failed THEN 1 ELSE 0 END) AS errors
FROM usage WHERE counted GROUP BY edge_id, trace_hi, trace_lo) AS used GROUP BY edge_id) AS t ON e.edge_id = t.edge_id ORDER BY e.edge_id NULLS LAST
