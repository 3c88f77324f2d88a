"""Where the runs of a sweep are computed: worker processes here, a Ray cluster, Slurm."""
