WITH traced AS (SELECT edge_id, rule, trace_hi, trace_lo, COUNT(*) AS times
FROM usage WHERE counted OR rule = 'link' GROUP BY edge_id, rule, trace_hi, trace_lo), placed AS (SELECT *, SUM(times) OVER (PARTITION BY edge_id, rule) AS total, ROW_NUMBER() OVER (PARTITION BY edge_id, rule ORDER BY trace_hi NULLS LAST, trace_lo NULLS LAST) AS place
FROM traced) SELECT edge_id, rule, CAST(total AS BIGINT), trace_hi, trace_lo
FROM placed WHERE place <= 3 ORDER BY edge_id NULLS LAST, rule NULLS LAST, place NULLS LAST
