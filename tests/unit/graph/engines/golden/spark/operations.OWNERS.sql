SELECT s.row_id, CASE WHEN s.kind IN (2, 5) OR p.row_id IS NULL OR p.service <> s.service THEN s.row_id ELSE p.row_id END AS owner, s.kind IN (2, 5) OR p.row_id IS NULL OR p.service <> s.service AS found
FROM span AS s LEFT
JOIN pair ON s.row_id = pair.child LEFT
JOIN span AS p ON pair.parent = p.row_id
