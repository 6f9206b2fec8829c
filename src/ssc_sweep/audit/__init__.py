"""What may go wrong with a split of the data, read off the data alone. Needs no torch; `python -m ssc_sweep.audit`."""
