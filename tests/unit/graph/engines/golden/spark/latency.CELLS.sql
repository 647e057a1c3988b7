SELECT slot, octave, COUNT(*)
FROM (SELECT CAST(FLOOR((start_ns - start_ns) / slot_ns) AS INT) AS slot, CAST(FLOOR(LN(GREATEST(duration_ns, 1)) / LN(2)) AS INT) AS octave
FROM root WHERE true_root = true_root) AS placed GROUP BY slot, octave ORDER BY slot NULLS LAST, octave NULLS LAST
