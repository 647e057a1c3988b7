"""Access logs, each with its own meaning of time. What a log does not tell is marked.

No body and few headers are in a log: so a write is never replayed from one, unless its `content-length: 0` was logged.
`lines/` and `values/` are what the formats share.
"""
