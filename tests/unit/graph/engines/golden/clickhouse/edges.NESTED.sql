SELECT c.row_id AS row_id
FROM pair
JOIN span AS c ON pair.child = c.row_id
JOIN span AS p ON pair.parent = p.row_id WHERE c.target_kind IN ('store', 'queue') AND c.service = p.service AND c.target_kind = p.target_kind AND c.target_name = p.target_name AND c.target_system = p.target_system AND c.direction = p.direction
