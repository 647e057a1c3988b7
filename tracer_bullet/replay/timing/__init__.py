"""From recorded times to due times on one absolute schedule, and which request waits for which answer."""
