SELECT trace_hi, trace_lo, service, name, duration_ns
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY stratum ORDER BY duration_ns NULLS LAST, trace_hi NULLS LAST, trace_lo NULLS LAST) AS place, COUNT(*) OVER (PARTITION BY stratum) AS traces
FROM judged WHERE symptom = '') AS placed WHERE place = FLOOR((traces + 1) / 2) ORDER BY traces DESC, service NULLS LAST, name NULLS LAST LIMIT most
