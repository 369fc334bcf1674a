"""Wasserstein Contrastive Representation Distillation: both forms of the Wasserstein distance."""
