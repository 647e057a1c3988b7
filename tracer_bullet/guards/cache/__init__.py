"""Guards of caches: Redis."""
