"""What several readers need: streams, cutting of JSON, pieces of HTTP. Nothing here raises for content."""
