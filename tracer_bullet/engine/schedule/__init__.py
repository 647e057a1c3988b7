"""What decides when a request goes, and with what: the schedule, sessions, slots, the flag's carriers, pauses."""
