WITH placed AS (SELECT c.caller, c.callee, c.low_ns, c.high_ns, p.calls, ROW_NUMBER() OVER (PARTITION BY c.caller, c.callee ORDER BY c.start_ns NULLS LAST, c.low_ns NULLS LAST, c.high_ns NULLS LAST) AS place
FROM skew_call AS c
JOIN skew_pair AS p ON c.caller = p.caller AND c.callee = p.callee WHERE p.agreeing < 0.98 * p.calls), stretched AS (SELECT caller, callee, low_ns, high_ns, CAST(FLOOR((place - 1) * 4 / calls) AS INT) AS stretch
FROM placed), ranked AS (SELECT caller, callee, stretch, low_ns, high_ns, ROW_NUMBER() OVER (PARTITION BY caller, callee, stretch ORDER BY low_ns DESC) AS low_place, ROW_NUMBER() OVER (PARTITION BY caller, callee, stretch ORDER BY high_ns NULLS LAST) AS high_place, COUNT(*) OVER (PARTITION BY caller, callee, stretch) AS size
FROM stretched) SELECT caller, callee, stretch, MAX(size), MAX(CASE WHEN low_place = FLOOR(size * 0.02) + 1 THEN low_ns END), MAX(CASE WHEN high_place = FLOOR(size * 0.02) + 1 THEN high_ns END)
FROM ranked GROUP BY caller, callee, stretch ORDER BY caller NULLS LAST, callee NULLS LAST, stretch NULLS LAST
