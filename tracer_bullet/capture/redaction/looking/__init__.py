"""What redaction and its audit share: what a secret looks like, what its name says, in what it may be wrapped."""
