SELECT DISTINCT l.later AS row_id
FROM linked AS l
JOIN pair ON l.later = pair.child AND l.earlier = pair.parent
