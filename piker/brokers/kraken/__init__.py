"""Kraken spot: market data and, with a key, live orders."""
