"""Run and sweep directories as one file, to be carried to another machine: see `archive`."""
