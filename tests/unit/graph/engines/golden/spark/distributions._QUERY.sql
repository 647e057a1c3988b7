SELECT keys, bucket, COUNT(*) AS n, SUM(d) AS total, MIN(d) AS shortest, MAX(d) AS longest
FROM (SELECT keys, d, CAST(FLOOR(LN(GREATEST(d, 1)) / LN(growth)) AS INT) AS bucket
FROM (SELECT selected, GREATEST(duration, 0) AS d
FROM source) AS timed) AS placed GROUP BY keys, bucket ORDER BY keys NULLS LAST, bucket NULLS LAST
