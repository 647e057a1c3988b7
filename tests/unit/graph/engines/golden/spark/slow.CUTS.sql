SELECT c.row_id, pair.parent AS far, p.end_ns AS cut_ns
FROM timed_span AS c
JOIN pair ON c.row_id = pair.child
JOIN timed_span AS p ON pair.parent = p.row_id
