SELECT caller, callee, calls, low_ns, high_ns
FROM skew_pair WHERE agreeing >= 0.98 * calls ORDER BY caller, callee
