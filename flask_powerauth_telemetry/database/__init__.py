"""Databases as reports see them: tables, engines, guarded connections, errors."""
