"""The registered reports as others see them: their schemas, and the description of the API."""
