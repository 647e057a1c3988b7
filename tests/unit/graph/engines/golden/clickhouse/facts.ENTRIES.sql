SELECT s.row_id AS row_id
FROM span AS s LEFT
JOIN pair ON s.row_id = pair.child LEFT
JOIN span AS p ON pair.parent = p.row_id WHERE s.kind IN (2, 5) OR p.service <> s.service OR (s.kind = 0 AND (s.parent_id IS NULL OR s.parent_id = s.span_id))
