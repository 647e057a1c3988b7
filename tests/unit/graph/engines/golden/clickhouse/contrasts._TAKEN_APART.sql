SELECT trace_no, stratum, bad, service, key, value
FROM held WHERE key <> 'tb.flags' UNION ALL SELECT DISTINCT h.trace_no AS trace_no, h.stratum AS stratum, h.bad AS bad, h.service AS service, h.key AS key, f.part AS part
FROM held AS h
JOIN flag_part AS f ON h.value = f.value WHERE h.key = 'tb.flags'
