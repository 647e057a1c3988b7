"""A real Locust master in a process of its own: `python -m tracer_bullet.load.locust FD OPTIONS`.

Locust and gevent are imported by `master` alone, which runs only there. It relays, shows and counts; what is sent, and
by whom, the conductor decides at the other end of the socket. Posture: fail closed. A conductor that is gone or silent
ends the master, and so the workers.
"""
