"""Other engines: the dialects that their drivers bring, and ClickHouse's engine in a process."""
