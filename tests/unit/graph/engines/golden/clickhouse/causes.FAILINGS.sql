WITH thrown AS (SELECT trace_hi, trace_lo, span_id, type, message
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY trace_hi, trace_lo, span_id ORDER BY type, message) AS place
FROM (VIEW source_exception) AS source_exception) AS numbered WHERE place = 1), told AS (SELECT s.row_id AS row_id, s.trace_hi AS trace_hi, s.trace_lo AS trace_lo, s.span_id AS span_id, s.service AS service, s.name AS name, s.kind AS kind, s.start_ns AS start_ns, s.end_ns AS end_ns, s.target_kind AS target_kind, s.target_name AS target_name, pair.parent AS parent, COALESCE(nullIf(s.error_type, ''), t.type, '') AS error_type, COALESCE(nullIf(s.error_message, ''), t.message, '') AS error_message
FROM span AS s LEFT
JOIN pair ON s.row_id = pair.child LEFT
JOIN thrown AS t ON s.trace_hi = t.trace_hi AND s.trace_lo = t.trace_lo AND s.span_id = t.span_id WHERE s.failed), worded AS (SELECT *, LOWER(error_type || ' ' || SUBSTRING(error_message, 1, 500)) AS words
FROM told) SELECT row_id, trace_hi, trace_lo, span_id, service, name, kind, start_ns, end_ns, target_kind, target_name, parent, error_type, error_message, error_type IN ('499', '1') OR words LIKE '%cancel%' OR words LIKE '%client disconnected%' OR words LIKE '%aborterror%' AS cancelled, error_type IN ('408', '504', '4') OR words LIKE '%timeout%' OR words LIKE '%timed out%' OR words LIKE '%deadline%' AS timed_out
FROM worded
