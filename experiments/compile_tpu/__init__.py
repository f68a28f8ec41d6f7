"""The face experiments' steps by the TPU compiler, without a TPU; see `__main__`."""
