"""The one reading of a recording that survey and plan share: what is selected, refused, whose it is, which endpoint."""
