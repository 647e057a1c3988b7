"""OTLP spans as recorded traffic: what was asked and when. No bodies, hardly a header: shape and timing only."""
