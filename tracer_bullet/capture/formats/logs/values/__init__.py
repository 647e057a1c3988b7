"""Values of a log line: times, escapes, request lines and addresses. Pure functions over text."""
