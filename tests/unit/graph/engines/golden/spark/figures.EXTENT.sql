SELECT MIN(start_ns), MAX(end_ns)
FROM span
