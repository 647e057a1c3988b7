"""Guards of brokers and task queues, both ways."""
