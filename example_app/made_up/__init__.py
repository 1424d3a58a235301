"""Data made up for the example; to make a past, it imports the history's store, which is internal.

No host needs this package: how the extension is used stands in the modules beside it.
"""
