SELECT DISTINCT host, port
FROM span WHERE target_kind = 'address' AND host <> '' ORDER BY host NULLS LAST, port NULLS LAST
