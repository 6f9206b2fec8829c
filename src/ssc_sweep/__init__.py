"""Declare a hypothesis as data, run it as paired experiments on real data, get a verdict that anyone can check."""
