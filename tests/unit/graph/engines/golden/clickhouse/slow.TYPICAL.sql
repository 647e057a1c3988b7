SELECT trace_hi, trace_lo, service, name, duration_ns
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY stratum ORDER BY duration_ns, trace_hi, trace_lo) AS place, COUNT(*) OVER (PARTITION BY stratum) AS traces
FROM judged WHERE symptom = '') AS placed WHERE place = FLOOR((traces + 1) / 2) ORDER BY traces DESC, service, name LIMIT most
