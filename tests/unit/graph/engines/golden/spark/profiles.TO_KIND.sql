SELECT n.row_id, n.up, n.up IS NULL OR u.kind <> 0 AS found
FROM zipkin_node AS n LEFT
JOIN zipkin_node AS u ON n.up = u.row_id
