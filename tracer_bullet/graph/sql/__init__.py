"""All SQL of the analysis: plain queries in one portable subset, in the order in which they run."""
