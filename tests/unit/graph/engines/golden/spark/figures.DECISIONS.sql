SELECT edge_id, decision, COUNT(DISTINCT span_row)
FROM usage WHERE decision <> '' GROUP BY edge_id, decision ORDER BY edge_id NULLS LAST, decision NULLS LAST
