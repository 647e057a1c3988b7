SELECT v.value_no AS value_no, h.stratum AS stratum, SUM(h.bad) AS bad, SUM(1 - h.bad) AS good
FROM (SELECT trace_no, stratum, bad, service, key, value
FROM held WHERE key <> 'tb.flags' UNION ALL SELECT DISTINCT h.trace_no AS trace_no, h.stratum AS stratum, h.bad AS bad, h.service AS service, h.key AS key, f.part AS part
FROM held AS h
JOIN flag_part AS f ON h.value = f.value WHERE h.key = 'tb.flags') AS h
JOIN held_value AS v ON h.service = v.service AND h.key = v.key AND h.value = v.value WHERE v.bad >= support GROUP BY v.value_no, h.stratum ORDER BY v.value_no, h.stratum
