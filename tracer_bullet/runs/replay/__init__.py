"""The recipe of `tracer-bullet replay`: survey, arm, learn noise, send, settle, judge, report."""
