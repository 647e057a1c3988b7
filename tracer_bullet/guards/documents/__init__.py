"""Guards of document stores: MongoDB."""
