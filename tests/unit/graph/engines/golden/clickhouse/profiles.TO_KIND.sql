SELECT n.row_id AS row_id, n.up AS up, n.up IS NULL OR u.kind <> 0 AS found
FROM zipkin_node AS n LEFT
JOIN zipkin_node AS u ON n.up = u.row_id
