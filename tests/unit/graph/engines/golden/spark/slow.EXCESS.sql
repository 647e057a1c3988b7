WITH goods AS (SELECT stratum, COUNT(*) AS traces
FROM timed WHERE NOT slow GROUP BY stratum), ranked AS (SELECT stratum, service, name, target_name, own_ns, ROW_NUMBER() OVER (PARTITION BY stratum, service, name, target_name ORDER BY own_ns NULLS LAST) AS place, COUNT(*) OVER (PARTITION BY stratum, service, name, target_name) AS present
FROM own_operation WHERE slow = 0), usual AS (SELECT r.stratum, r.service, r.name, r.target_name, MAX(CASE WHEN r.place = FLOOR((g.traces + 1) / 2) - (g.traces - r.present) THEN r.own_ns END) AS own_ns
FROM ranked AS r
JOIN goods AS g ON r.stratum = g.stratum GROUP BY r.stratum, r.service, r.name, r.target_name), worst AS (SELECT o.trace_hi, o.trace_lo, o.service, o.name, o.target_name, ROW_NUMBER() OVER (PARTITION BY o.trace_hi, o.trace_lo ORDER BY o.own_ns - COALESCE(u.own_ns, 0) DESC, o.service NULLS LAST, o.name NULLS LAST, o.target_name NULLS LAST) AS place
FROM own_operation AS o LEFT
JOIN usual AS u ON o.stratum = u.stratum AND o.service = u.service AND o.name = u.name AND o.target_name = u.target_name WHERE o.slow = 1), spans AS (SELECT w.trace_hi, w.trace_lo, e.row_id, ROW_NUMBER() OVER (PARTITION BY w.trace_hi, w.trace_lo ORDER BY e.own_ns DESC, e.span_id NULLS LAST) AS place
FROM worst AS w
JOIN own_each AS e ON w.trace_hi = e.trace_hi AND w.trace_lo = e.trace_lo AND w.service = e.service AND w.name = e.name AND w.target_name = e.target_name WHERE w.place = 1) SELECT trace_hi, trace_lo, row_id AS leaf
FROM spans WHERE place = 1
