WITH traced AS (SELECT edge_id, rule, trace_hi, trace_lo, COUNT(*) AS times
FROM usage WHERE counted OR rule = 'link' GROUP BY edge_id, rule, trace_hi, trace_lo), placed AS (SELECT *, SUM(toNullable(times)) OVER (PARTITION BY edge_id, rule) AS total, ROW_NUMBER() OVER (PARTITION BY edge_id, rule ORDER BY trace_hi, trace_lo) AS place
FROM traced) SELECT edge_id, rule, CAST(total AS Nullable(Int64)), trace_hi, trace_lo
FROM placed WHERE place <= 3 ORDER BY edge_id, rule, place
