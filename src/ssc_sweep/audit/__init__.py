"""Find what may go wrong with a data split, from the data alone. Needs no torch; `python -m ssc_sweep.audit`."""
