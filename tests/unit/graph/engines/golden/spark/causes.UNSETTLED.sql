SELECT COUNT(*)
FROM name AS a
JOIN name AS b ON a.far = b.row_id
