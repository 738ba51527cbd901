"""Benchmark: training and comparison on the task suite."""
