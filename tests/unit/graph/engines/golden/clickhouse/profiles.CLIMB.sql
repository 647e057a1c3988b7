SELECT w.row_id AS row_id, CASE WHEN w.found THEN w.up ELSE u.up END AS up, w.found OR u.found AS found
FROM climbed AS w LEFT
JOIN climbed AS u ON w.up = u.row_id
