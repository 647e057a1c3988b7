WITH again AS (SELECT pair.parent AS parent, s.service AS service, s.name AS name, s.kind AS kind, s.target_name AS target_name, MAX(s.start_ns) AS last_ns
FROM span AS s
JOIN pair ON s.row_id = pair.child
JOIN (SELECT DISTINCT parent
FROM failing) AS f ON pair.parent = f.parent WHERE NOT s.failed GROUP BY pair.parent, s.service, s.name, s.kind, s.target_name), below AS (SELECT c.row_id AS row_id, c.above AS above, c.span_id AS span_id, c.start_ns AS start_ns, c.end_ns AS end_ns, c.cancelled AS cancelled, c.timed_out AS timed_out, p.end_ns AS parent_end_ns, p.cancelled AS parent_cancelled, p.timed_out AS parent_timed_out, CASE WHEN a.last_ns >= c.end_ns THEN 1 ELSE 0 END AS made_good, SUM(toNullable(CASE WHEN c.cancelled THEN 0 ELSE 1 END)) OVER (PARTITION BY c.above) AS reasons
FROM risen AS c
JOIN failing AS p ON c.above = p.row_id LEFT
JOIN again AS a ON c.parent = a.parent AND c.service = a.service AND c.name = a.name AND c.kind = a.kind AND c.target_name = a.target_name WHERE NOT (c.kind = 5 AND (p.kind = 4 OR p.service <> c.service))) SELECT above AS row_id, row_id AS far
FROM (SELECT above, row_id, ROW_NUMBER() OVER (PARTITION BY above ORDER BY made_good, CASE WHEN end_ns > parent_end_ns THEN 1 ELSE 0 END, end_ns DESC, start_ns, span_id) AS place
FROM below WHERE NOT (cancelled AND (parent_timed_out OR parent_cancelled OR reasons > 0)) AND NOT (parent_timed_out AND NOT timed_out AND end_ns > parent_end_ns)) AS placed WHERE place = 1
