"""PostgreSQL sharded by postgres_fdw, on servers from Debian's packages."""
