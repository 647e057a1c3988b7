SELECT f.row_id AS row_id, f.trace_hi AS trace_hi, f.trace_lo AS trace_lo, f.span_id AS span_id, f.service AS service, f.name AS name, f.kind AS kind, f.start_ns AS start_ns, f.end_ns AS end_ns, f.target_name AS target_name, f.parent AS parent, f.cancelled AS cancelled, f.timed_out AS timed_out, CASE WHEN d.service = f.service OR (f.kind = 2 AND d.kind = 3) THEN COALESCE(q.far, f.parent) ELSE f.parent END AS above
FROM failing AS f LEFT
JOIN span AS d ON f.parent = d.row_id LEFT
JOIN passing AS q ON f.parent = q.row_id
