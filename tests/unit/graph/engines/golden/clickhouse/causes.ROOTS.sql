SELECT row_id, trace_hi, trace_lo, span_id, service, name, kind, start_ns, end_ns, duration_ns, failed, orphan
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY trace_hi, trace_lo ORDER BY CASE WHEN orphan THEN 1 ELSE 0 END, start_ns, end_ns DESC, span_id) AS place
FROM head) AS placed WHERE place = 1
