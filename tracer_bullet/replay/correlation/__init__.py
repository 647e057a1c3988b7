"""Values that an answer mints and later requests of the session use: found in the survey, applied in the plan."""
