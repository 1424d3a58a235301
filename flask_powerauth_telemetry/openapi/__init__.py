"""The catalogue of reports, and the OpenAPI document."""
