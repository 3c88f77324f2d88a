"""What runs and sweeps leave on the disk: written by training, read by sweeps and reports."""
