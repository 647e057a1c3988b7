SELECT caller, callee, COUNT(*) AS calls, SUM(CASE WHEN low_ns <= 0 AND high_ns >= 0 THEN 1 ELSE 0 END) AS agreeing, MAX(CASE WHEN low_ns <= 0 AND high_ns >= 0 THEN low_ns END) AS low_ns, MIN(CASE WHEN low_ns <= 0 AND high_ns >= 0 THEN high_ns END) AS high_ns
FROM skew_call GROUP BY caller, callee
