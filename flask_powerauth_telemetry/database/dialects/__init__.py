"""What is particular to each kind of database, a module for each."""
