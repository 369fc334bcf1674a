"""Training: `distillation` begins and resumes, `prepare` builds, `loop` takes the steps."""
