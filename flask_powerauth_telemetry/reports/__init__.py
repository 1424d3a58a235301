"""Further reports, off until a configuration switches them on; providers like any other."""
