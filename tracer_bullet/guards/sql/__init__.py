"""Guards of databases: lanes, statements, and one file a driver."""
