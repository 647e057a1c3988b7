SELECT objective_id, begin_ns, COUNT(*) AS calls, CAST(SUM(bad) AS Nullable(Int64)) AS bad
FROM (SELECT objective_id, bad, start_ns - start_ns % window AS begin_ns
FROM judged) AS placed GROUP BY objective_id, begin_ns ORDER BY objective_id, begin_ns
