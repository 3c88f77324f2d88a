"""Run directories to pictures and tables; reads files only and imports nothing of the other parts."""
