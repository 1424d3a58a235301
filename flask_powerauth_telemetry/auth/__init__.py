"""Who asks: HTTP Basic, application credentials and their scopes."""
