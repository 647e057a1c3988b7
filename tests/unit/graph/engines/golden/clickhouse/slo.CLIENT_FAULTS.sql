SELECT DISTINCT s.row_id AS row_id
FROM span AS s
JOIN entry AS n ON s.row_id = n.row_id
JOIN (VIEW source_attribute) AS a ON s.trace_hi = a.trace_hi AND s.trace_lo = a.trace_lo AND s.span_id = a.span_id WHERE s.failed AND ((a.key IN ('http.response.status_code', 'http.status_code') AND a.value LIKE '4__') OR (a.key IN ('rpc.grpc.status_code', 'rpc.response.status_code') AND a.value IN ('1', '3', '5', '6', '7', '8', '9', '10', '11', '16', 'CANCELLED', 'INVALID_ARGUMENT', 'NOT_FOUND', 'ALREADY_EXISTS', 'PERMISSION_DENIED', 'RESOURCE_EXHAUSTED', 'FAILED_PRECONDITION', 'ABORTED', 'OUT_OF_RANGE', 'UNAUTHENTICATED')))
