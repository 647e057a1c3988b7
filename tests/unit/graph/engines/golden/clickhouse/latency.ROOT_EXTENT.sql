SELECT true_root, MIN(start_ns), MAX(start_ns)
FROM root GROUP BY true_root ORDER BY true_root DESC
