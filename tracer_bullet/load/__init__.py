"""Scenarios as traffic: when iterations begin, what they send, what is asked of the result. Locust: in `locust/`."""
