WITH repeated AS (SELECT trace_hi, trace_lo, span_id
FROM fact GROUP BY trace_hi, trace_lo, span_id HAVING COUNT(*) > 1), ranked AS (SELECT f.*, ROW_NUMBER() OVER (PARTITION BY f.trace_hi, f.trace_lo, f.span_id ORDER BY f.end_ns DESC, f.attribute_count DESC, f.start_ns NULLS LAST, f.parent_id NULLS LAST, f.service NULLS LAST, f.name NULLS LAST, f.kind NULLS LAST, f.status NULLS LAST, f.decision NULLS LAST, f.target_kind NULLS LAST, f.target_name NULLS LAST, f.target_system NULLS LAST, f.direction NULLS LAST, f.host NULLS LAST, f.port NULLS LAST, f.peer_service NULLS LAST, f.machine NULLS LAST, f.error_type NULLS LAST, f.error_message NULLS LAST) AS copy
FROM fact AS f
JOIN repeated AS r ON f.trace_hi = r.trace_hi AND f.trace_lo = r.trace_lo AND f.span_id = r.span_id), single AS (SELECT f.*, 1 AS copy
FROM fact AS f LEFT
JOIN repeated AS r ON f.trace_hi = r.trace_hi AND f.trace_lo = r.trace_lo AND f.span_id = r.span_id WHERE r.span_id IS NULL) SELECT CAST(ROW_NUMBER() OVER (ORDER BY 1 NULLS LAST) AS INT) AS row_id, trace_hi, trace_lo, span_id, parent_id, service, name, kind, start_ns, end_ns, decision, machine, error_type, error_message, target_kind, target_name, target_system, direction, host, port, peer_service, CASE WHEN end_ns > start_ns THEN end_ns - start_ns ELSE 0 END AS duration_ns, status = 2 AS failed
FROM (SELECT *
FROM single UNION ALL SELECT *
FROM ranked WHERE copy = 1)
