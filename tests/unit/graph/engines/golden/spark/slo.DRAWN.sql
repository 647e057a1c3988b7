SELECT s.row_id, COALESCE(p.parent, 0) AS parent, s.span_id, s.start_ns - COALESCE(k.offset_ns, 0) AS start_ns, s.end_ns - COALESCE(k.offset_ns, 0) AS end_ns, s.kind, s.machine, s.service, s.name
FROM span AS s
JOIN drawn_trace AS t ON s.trace_hi = t.trace_hi AND s.trace_lo = t.trace_lo LEFT
JOIN clock AS k ON s.machine = k.machine LEFT
JOIN (SELECT child, MIN(parent) AS parent
FROM pair GROUP BY child) AS p ON s.row_id = p.child ORDER BY s.trace_hi NULLS LAST, s.trace_lo NULLS LAST, s.span_id NULLS LAST
