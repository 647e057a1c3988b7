SELECT COUNT(*)
FROM held_value
