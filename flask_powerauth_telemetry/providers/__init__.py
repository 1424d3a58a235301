"""Report providers: the interface, and the two reports that PowerAuth documents."""
