SELECT w.row_id, u.owner, u.found
FROM owners AS w
JOIN owners AS u ON w.owner = u.row_id
