"""Binance, spot and USD-M futures: market data and, for spot, live orders."""
