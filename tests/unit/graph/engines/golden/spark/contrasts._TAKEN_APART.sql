SELECT trace_no, stratum, bad, service, key, value
FROM held WHERE key <> 'tb.flags' UNION ALL SELECT DISTINCT h.trace_no, h.stratum, h.bad, h.service, h.key, f.part
FROM held AS h
JOIN flag_part AS f ON h.value = f.value WHERE h.key = 'tb.flags'
