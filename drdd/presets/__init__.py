"""Params files that are named with --preset: the paper's tasks on the public benchmarks."""
