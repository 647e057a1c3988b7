SELECT o.service AS service, o.name AS name, COUNT(*)
FROM usage AS u
JOIN edge AS e ON u.edge_id = e.edge_id
JOIN owners AS w ON u.span_row = w.row_id
JOIN entry AS n ON w.owner = n.row_id
JOIN span AS o ON w.owner = o.row_id WHERE u.counted AND u.rule <> 'link' AND e.source_kind <> 'queue' GROUP BY o.service, o.name
