SELECT s.row_id, COALESCE(p.row_id, 0) AS parent, s.trace_hi, s.trace_lo, s.span_id, s.start_ns - m.offset_ns AS start_ns, s.end_ns - m.offset_ns AS end_ns, s.kind, m.machine_id, o.operation_id, o.service_id, CASE WHEN NOT s.parent_id IS NULL AND s.parent_id <> s.span_id AND p.row_id IS NULL THEN 1 ELSE 0 END AS orphan, CASE WHEN l.row_id IS NULL THEN 0 ELSE 1 END AS linked
FROM (SELECT *
FROM span WHERE ABS(trace_lo % 1000003 + trace_hi % 1000003) % parts = part) AS s LEFT
JOIN (SELECT trace_hi, trace_lo, span_id, row_id
FROM span WHERE ABS(trace_lo % 1000003 + trace_hi % 1000003) % parts = part) AS p ON s.trace_hi = p.trace_hi AND s.trace_lo = p.trace_lo AND s.parent_id = p.span_id AND s.row_id <> p.row_id LEFT
JOIN path_link AS l ON s.row_id = l.row_id
JOIN path_machine AS m ON s.machine = m.machine
JOIN path_operation AS o ON s.service = o.service AND s.name = o.name
