SELECT DISTINCT value
FROM held WHERE key = 'tb.flags' ORDER BY value NULLS LAST
