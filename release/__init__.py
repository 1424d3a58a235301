"""Makes what a release consists of: ``python -m release``."""
