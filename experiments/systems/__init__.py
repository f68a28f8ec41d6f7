"""Every system of the family on its smallest honest task; see `__main__`."""
