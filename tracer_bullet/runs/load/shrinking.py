"""The smallest data that still makes a scenario fail, looked for after the load."""
