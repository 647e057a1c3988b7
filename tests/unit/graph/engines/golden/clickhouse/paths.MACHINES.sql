SELECT CASE WHEN m.machine = '' THEN 0 ELSE CAST(ROW_NUMBER() OVER (ORDER BY m.machine) AS Nullable(Int32)) END AS machine_id, m.machine AS machine, COALESCE(k.offset_ns, 0) AS offset_ns
FROM (SELECT machine
FROM span GROUP BY machine) AS m LEFT
JOIN clock AS k ON m.machine = k.machine
