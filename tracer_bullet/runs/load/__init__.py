"""The recipe of `tracer-bullet load`, and who sends for it. Imports nothing: senders on other hosts need little."""
