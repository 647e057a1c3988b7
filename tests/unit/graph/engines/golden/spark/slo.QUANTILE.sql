SELECT duration_ns
FROM judged WHERE objective_id = objective ORDER BY duration_ns DESC LIMIT 1 OFFSET beyond
