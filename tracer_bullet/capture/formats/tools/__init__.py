"""What other load and recording tools write down of each request: Speedscale, k6, Locust."""
