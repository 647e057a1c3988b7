SELECT s.row_id AS row_id, COALESCE(p.parent, 0) AS parent, s.span_id AS span_id, s.start_ns - COALESCE(k.offset_ns, 0) AS start_ns, s.end_ns - COALESCE(k.offset_ns, 0) AS end_ns, s.kind AS kind, s.machine AS machine, s.service AS service, s.name AS name
FROM span AS s
JOIN drawn_trace AS t ON s.trace_hi = t.trace_hi AND s.trace_lo = t.trace_lo LEFT
JOIN clock AS k ON s.machine = k.machine LEFT
JOIN (SELECT child, MIN(parent) AS parent
FROM pair GROUP BY child) AS p ON s.row_id = p.child ORDER BY s.trace_hi, s.trace_lo, s.span_id
