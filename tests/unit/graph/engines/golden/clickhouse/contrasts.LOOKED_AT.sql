WITH sized AS (SELECT j.trace_hi AS trace_hi, j.trace_lo AS trace_lo, j.stratum AS stratum, j.lot AS lot, CASE WHEN j.symptom <> '' THEN 1 ELSE 0 END AS bad, n.spans AS spans
FROM judged AS j
JOIN (SELECT trace_hi, trace_lo, COUNT(*) AS spans
FROM span GROUP BY trace_hi, trace_lo) AS n ON j.trace_hi = n.trace_hi AND j.trace_lo = n.trace_lo), mixed AS (SELECT stratum, SUM(bad) AS bad_traces
FROM sized GROUP BY stratum HAVING SUM(bad) > 0 AND SUM(bad) < COUNT(*)), total AS (SELECT SUM(bad_traces) AS bad_traces
FROM mixed), running AS (SELECT s.trace_hi AS trace_hi, s.trace_lo AS trace_lo, s.stratum AS stratum, s.bad AS bad, s.spans AS spans, m.bad_traces / t.bad_traces AS part, SUM(toNullable(s.spans)) OVER (PARTITION BY s.bad, CASE WHEN s.bad = 1 THEN 0 ELSE s.stratum END ORDER BY s.lot, s.trace_hi, s.trace_lo ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS so_far
FROM sized AS s
JOIN mixed AS m ON s.stratum = m.stratum CROSS
JOIN total AS t) SELECT trace_hi, trace_lo, stratum, bad, CAST(ROW_NUMBER() OVER (ORDER BY trace_hi, trace_lo) AS Nullable(Int32)) AS trace_no
FROM running WHERE so_far - spans < CASE WHEN bad = 1 THEN bad_spans ELSE GREATEST(good_spans * part, least_spans) END
