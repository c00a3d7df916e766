"""Sandboxes behind one protocol (`base`): `bubblewrap`, the default; `fake`, for tests; `local`, for trusted code.

`conformance` holds the behaviours that every backend shows or names as not applicable.
"""
