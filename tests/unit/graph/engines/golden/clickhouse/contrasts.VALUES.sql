SELECT CAST(ROW_NUMBER() OVER (ORDER BY service, key, value) AS Nullable(Int32)) AS value_no, service, key, value, COUNT(*) AS traces, SUM(bad) AS bad
FROM (SELECT trace_no, stratum, bad, service, key, value
FROM held WHERE key <> 'tb.flags' UNION ALL SELECT DISTINCT h.trace_no AS trace_no, h.stratum AS stratum, h.bad AS bad, h.service AS service, h.key AS key, f.part AS part
FROM held AS h
JOIN flag_part AS f ON h.value = f.value WHERE h.key = 'tb.flags') AS h GROUP BY service, key, value HAVING COUNT(*) >= support AND COUNT(*) < traces
