SELECT w.row_id AS row_id, u.owner AS owner, u.found AS found
FROM owners AS w
JOIN owners AS u ON w.owner = u.row_id
