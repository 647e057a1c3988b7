WITH entry AS (SELECT h.row_id AS row_id, h.trace_hi AS trace_hi, h.trace_lo AS trace_lo, h.span_id AS span_id, h.start_ns AS start_ns, CASE WHEN h.orphan THEN 3 ELSE 0 END AS grade
FROM head AS h
JOIN trace_root AS r ON h.trace_hi = r.trace_hi AND h.trace_lo = r.trace_lo WHERE h.failed AND (NOT h.orphan OR r.orphan OR r.failed OR h.kind = 5) UNION ALL SELECT f.row_id AS row_id, f.trace_hi AS trace_hi, f.trace_lo AS trace_lo, f.span_id AS span_id, f.start_ns AS start_ns, 4
FROM candidate AS c
JOIN failing AS f ON c.row_id = f.row_id LEFT
JOIN climb AS q ON c.parent = q.row_id
JOIN span AS g ON COALESCE(q.far, c.parent) = g.row_id LEFT
JOIN pair ON g.row_id = pair.child WHERE pair.child IS NULL AND NOT (g.kind IN (2, 5)) UNION ALL SELECT c.row_id AS row_id, c.trace_hi AS trace_hi, c.trace_lo AS trace_lo, c.span_id AS span_id, c.start_ns AS start_ns, 5
FROM failing AS c
JOIN span AS p ON c.parent = p.row_id WHERE c.kind = 5 AND (p.kind = 4 OR p.service <> c.service)), followed AS (SELECT e.row_id AS row_id, e.trace_hi AS trace_hi, e.trace_lo AS trace_lo, e.span_id AS span_id, e.start_ns AS start_ns, e.grade AS grade, COALESCE(d.far, e.row_id) AS leaf
FROM entry AS e LEFT
JOIN down AS d ON e.row_id = d.row_id), graded AS (SELECT f.trace_hi AS trace_hi, f.trace_lo AS trace_lo, f.span_id AS span_id, f.start_ns AS start_ns, f.leaf AS leaf, CASE WHEN f.grade = 0 AND (f.leaf = f.row_id OR (l.kind = 3 AND l.target_kind <> 'store' AND a.row_id IS NULL)) THEN 2 WHEN f.grade = 3 AND r.failed AND NOT r.orphan AND f.start_ns BETWEEN r.start_ns AND r.end_ns THEN 1 ELSE f.grade END AS grade
FROM followed AS f
JOIN trace_root AS r ON f.trace_hi = r.trace_hi AND f.trace_lo = r.trace_lo
JOIN span AS l ON f.leaf = l.row_id LEFT
JOIN answered AS a ON f.leaf = a.row_id) SELECT trace_hi, trace_lo, leaf
FROM (SELECT trace_hi, trace_lo, leaf, ROW_NUMBER() OVER (PARTITION BY trace_hi, trace_lo ORDER BY grade, CASE WHEN grade = 1 THEN -start_ns ELSE start_ns END, span_id) AS place
FROM graded) AS placed WHERE place = 1
