"""Training: `distillation` starts a run, `prepare` builds its parts, `loop` takes the steps."""
