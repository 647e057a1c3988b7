"""Guard of AWS."""
