"""Offline training from datasets to policy bundles."""
