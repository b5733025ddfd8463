"""Adapters by the names that the documentation of `skytale-sdk` gives them."""
