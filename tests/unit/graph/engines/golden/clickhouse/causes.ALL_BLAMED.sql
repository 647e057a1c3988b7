SELECT *
FROM blamed
