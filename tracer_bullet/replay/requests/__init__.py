"""A recorded request → the bytes that are sent: rewritten, under a new identity, with slots for minted values."""
