WITH sized AS (SELECT j.trace_hi, j.trace_lo, j.stratum, j.lot, CASE WHEN j.symptom <> '' THEN 1 ELSE 0 END AS bad, n.spans
FROM judged AS j
JOIN (SELECT trace_hi, trace_lo, COUNT(*) AS spans
FROM span GROUP BY trace_hi, trace_lo) AS n ON j.trace_hi = n.trace_hi AND j.trace_lo = n.trace_lo), mixed AS (SELECT stratum, SUM(bad) AS bad_traces
FROM sized GROUP BY stratum HAVING SUM(bad) > 0 AND SUM(bad) < COUNT(*)), total AS (SELECT SUM(bad_traces) AS bad_traces
FROM mixed), running AS (SELECT s.trace_hi, s.trace_lo, s.stratum, s.bad, s.spans, m.bad_traces / t.bad_traces AS part, SUM(s.spans) OVER (PARTITION BY s.bad, CASE WHEN s.bad = 1 THEN 0 ELSE s.stratum END ORDER BY s.lot NULLS LAST, s.trace_hi NULLS LAST, s.trace_lo NULLS LAST ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS so_far
FROM sized AS s
JOIN mixed AS m ON s.stratum = m.stratum CROSS
JOIN total AS t) SELECT trace_hi, trace_lo, stratum, bad, CAST(ROW_NUMBER() OVER (ORDER BY trace_hi NULLS LAST, trace_lo NULLS LAST) AS INT) AS trace_no
FROM running WHERE so_far - spans < CASE WHEN bad = 1 THEN bad_spans ELSE GREATEST(good_spans * part, least_spans) END
