SELECT e.edge_id AS edge_id, h.rule AS rule, h.span_row AS span_row, h.duration_ns AS duration_ns, h.failed AS failed, h.asynchronous AS asynchronous, h.counted AS counted, s.decision AS decision, s.trace_hi AS trace_hi, s.trace_lo AS trace_lo
FROM hop AS h
JOIN edge AS e ON h.source_kind = e.source_kind AND h.source_name = e.source_name AND h.source_system = e.source_system AND h.target_kind = e.target_kind AND h.target_name = e.target_name AND h.target_system = e.target_system
JOIN span AS s ON h.span_row = s.row_id
