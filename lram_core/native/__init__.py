"""Kernels of our own for the CPU: one whole control tick in C, see src/lram_native.h."""
