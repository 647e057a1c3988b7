"""Lists of requests that people keep: Postman, Insomnia, curl. They have an order and no times."""
