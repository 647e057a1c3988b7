SELECT row_id, up, up IS NULL AS found
FROM zipkin_node
