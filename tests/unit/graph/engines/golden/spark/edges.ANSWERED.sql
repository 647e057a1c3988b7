SELECT DISTINCT caller AS row_id
FROM call UNION SELECT DISTINCT p.row_id
FROM pair
JOIN span AS c ON pair.child = c.row_id
JOIN span AS p ON pair.parent = p.row_id WHERE p.target_kind = 'address' AND p.service = c.service AND c.kind IN (3, 4)
