"""What all access logs share: lines, what their columns mean, and the exchange that a line makes."""
