SELECT a.row_id AS row_id, COALESCE(b.far, a.far) AS far
FROM name AS a LEFT
JOIN name AS b ON a.far = b.row_id
