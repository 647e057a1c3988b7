"""Recording traffic: sources, redaction, the archive. Nothing reaches the disk before it was redacted.

Posture: in a service or beside a proxy it fails soft (a request is never delayed or lost for its recording, what is not
recorded is counted); redaction fails closed (what cannot be looked into is not kept).
"""
