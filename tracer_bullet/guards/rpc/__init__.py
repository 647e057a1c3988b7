"""Guards of gRPC, both ways."""
