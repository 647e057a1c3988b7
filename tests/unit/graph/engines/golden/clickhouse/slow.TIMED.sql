SELECT trace_hi, trace_lo, stratum, start_ns, end_ns, symptom = 'slow' AS slow
FROM (SELECT j.trace_hi AS trace_hi, j.trace_lo AS trace_lo, j.stratum AS stratum, j.start_ns AS start_ns, j.end_ns AS end_ns, j.symptom AS symptom, ROW_NUMBER() OVER (PARTITION BY j.stratum, j.symptom ORDER BY j.lot, j.trace_hi, j.trace_lo) AS place
FROM judged AS j
JOIN (SELECT DISTINCT stratum
FROM judged WHERE symptom = 'slow') AS w ON j.stratum = w.stratum WHERE j.symptom <> 'error') AS placed WHERE symptom = 'slow' OR place <= most
