"""Tests on a standalone cluster of Apache Spark, in an environment of their own."""
