SELECT host, port, MAX(target) AS service
FROM (SELECT s.host, s.port, k.target
FROM call AS k
JOIN span AS s ON k.caller = s.row_id WHERE k.rule = 'client-server' AND s.host <> '' GROUP BY s.host, s.port, k.target) AS met GROUP BY host, port HAVING COUNT(*) = 1
