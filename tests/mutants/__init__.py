"""Mutation runs: the code is changed in one place at a time, and a unit test has to fail for each change."""
