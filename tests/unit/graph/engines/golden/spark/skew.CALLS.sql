SELECT p.machine AS caller, c.machine AS callee, p.start_ns, c.end_ns - p.end_ns AS low_ns, c.start_ns - p.start_ns AS high_ns
FROM pair
JOIN span AS p ON pair.parent = p.row_id
JOIN span AS c ON pair.child = c.row_id WHERE p.kind = 3 AND c.kind = 2 AND p.machine <> '' AND c.machine <> '' AND p.machine <> c.machine AND c.end_ns >= c.start_ns AND c.end_ns - c.start_ns <= p.end_ns - p.start_ns
