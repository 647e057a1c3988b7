SELECT slot, octave, COUNT(*)
FROM (SELECT CAST(FLOOR((start_ns - start_ns) / slot_ns) AS Nullable(Int32)) AS slot, CAST(FLOOR(LN(GREATEST(duration_ns, 1)) / LN(2)) AS Nullable(Int32)) AS octave
FROM root WHERE true_root = true_root) AS placed GROUP BY slot, octave ORDER BY slot, octave
