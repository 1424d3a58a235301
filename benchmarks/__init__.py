"""What the package costs, as ratios to what else one could do: ``python -m benchmarks``.

Every figure is a ratio taken in one run: the two sides take turns, and the median of the ratios of
neighbours is given. The servers are started here, in a temporary folder, and stopped at the end.
"""
