"""Keras: .keras, .weights.h5 and the HDF5 files of Keras 1 and 2."""
