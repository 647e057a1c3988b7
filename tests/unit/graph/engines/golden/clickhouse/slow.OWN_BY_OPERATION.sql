SELECT trace_hi, trace_lo, service, name, target_name, MAX(stratum) AS stratum, MAX(CASE WHEN slow THEN 1 ELSE 0 END) AS slow, CAST(SUM(own_ns) AS Nullable(Int64)) AS own_ns
FROM own_each GROUP BY trace_hi, trace_lo, service, name, target_name
