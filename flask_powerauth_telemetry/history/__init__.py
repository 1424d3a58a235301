"""The history of recorded numbers, and what is answered from it."""
