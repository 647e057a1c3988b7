SELECT a.row_id AS row_id, COALESCE(b.far, a.far) AS far, LEAST(a.cut_ns, COALESCE(b.cut_ns, a.cut_ns)) AS cut_ns
FROM name AS a LEFT
JOIN name AS b ON a.far = b.row_id
