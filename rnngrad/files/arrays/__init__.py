"""Arrays: those of files (.npy, .npz, .csv), those written in a spec, those that are drawn."""
