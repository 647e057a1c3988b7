SELECT value_no, service, key, value
FROM held_value WHERE bad >= support
