SELECT trace_hi, trace_lo, stratum, start_ns, end_ns, symptom = 'slow' AS slow
FROM (SELECT j.trace_hi, j.trace_lo, j.stratum, j.start_ns, j.end_ns, j.symptom, ROW_NUMBER() OVER (PARTITION BY j.stratum, j.symptom ORDER BY j.lot NULLS LAST, j.trace_hi NULLS LAST, j.trace_lo NULLS LAST) AS place
FROM judged AS j
JOIN (SELECT DISTINCT stratum
FROM judged WHERE symptom = 'slow') AS w ON j.stratum = w.stratum WHERE j.symptom <> 'error') AS placed WHERE symptom = 'slow' OR place <= most
