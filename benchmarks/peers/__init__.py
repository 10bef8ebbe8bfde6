"""Peers to measure against, built as their users run them."""
