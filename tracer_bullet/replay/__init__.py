"""Recorded exchanges in, arrivals out: what is sent again, as what, and when (docs/replay.md).

`survey` reads a recording once and says what a replay of it would be; a `Planner` reads it again and makes arrivals.
Pure: nothing is read, sent or timed here, and clocks and seeds are arguments. Everything streams: what is kept grows
with the sessions under way at one time and with the endpoints, never with the recording. Fails closed: what cannot be
sent as it was recorded is refused with a reason, and every exchange read is skipped, refused or planned.
"""
