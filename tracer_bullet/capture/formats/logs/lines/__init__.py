"""What all access logs share: lines, columns, times, and the exchange that a line's values make."""
