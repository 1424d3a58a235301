"""What is told to those who watch: log records, signals, Prometheus metrics."""
