"""The files of a run and of a sweep: training writes them, sweeps and reports read them.

    RUN/config.json                  `config`: every field of the run's config
        environment.json             `environment`: devices, versions, and what the run is measured by
        classes.json                 `classes`: names of the classes, in the order of the labels; of
                                     captions the words of the vocabulary
        metrics.jsonl                `metrics_log`: one line for each training report and each evaluation
        checkpoints/  tensorboard/  wandb_run_id             of the libraries that write them
        evaluation/<name>.json       `evaluation`: one checkpoint on one split; <name>*.png, its pictures;
                                     <name>.*.json, what the task exports for other programs
        summary.json                 `summary`: written last, and all at once: the run is done
        failed.json  output.log      `failure`: left by a sweep
        curves.png  samples.png      drawn at the end; the second for tasks that have such pictures
    SWEEP/sweep.json                 `sweep`: the grid, the seeds asked for, published figures
        jobs/<variant>/seed<k>.json  the config of each run
        runs/<variant>/seed<k>/      the run directories
        cost.json                    `cost`: what each variant costs
        report/                      tables, pictures and the page

Each kind of file is a frozen dataclass with `from_json`, `to_json`, `read` and `write`; its docstring says
what a field means that a file of an earlier version lacks. `run` is a run directory as far as it can be read,
`metric` what a metric is called, which way it points and how it is shown, `per_class` numbers of classes.

Everything may import this package: it needs neither JAX nor any other part of chanattn but leaves such as
`errors` and `files`.
"""

FORMAT = 2
"""Of `environment.json` and `summary.json`: 1, which stands in no file, lacks the names of the metrics."""
