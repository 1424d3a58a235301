"""The catalogue of reports, and the OpenAPI document: imported where apispec is installed."""
