"""Guards of HTTP clients."""
