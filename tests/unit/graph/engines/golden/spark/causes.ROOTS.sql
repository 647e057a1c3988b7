SELECT row_id, trace_hi, trace_lo, span_id, service, name, kind, start_ns, end_ns, duration_ns, failed, orphan
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY trace_hi, trace_lo ORDER BY CASE WHEN orphan THEN 1 ELSE 0 END NULLS LAST, start_ns NULLS LAST, end_ns DESC, span_id NULLS LAST) AS place
FROM head) AS placed WHERE place = 1
