SELECT stratum, SUM(bad) AS bad, SUM(1 - bad) AS good
FROM looked GROUP BY stratum ORDER BY stratum NULLS LAST
