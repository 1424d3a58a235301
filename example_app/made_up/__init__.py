"""What makes up the example's data; it alone imports an internal, the history's store, for a past.

No host needs any of it: how the extension is used stands in the modules beside this package.
"""
