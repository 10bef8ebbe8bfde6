"""Fused GPU kernels, in Triton; nothing outside this folder needs Triton to be installed."""
