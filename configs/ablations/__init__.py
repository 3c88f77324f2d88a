"""Published ablation tables as sweeps: one file a table."""
