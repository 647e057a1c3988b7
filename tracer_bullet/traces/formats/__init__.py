"""Formats that spans come in: one file each, recognised from their content."""
