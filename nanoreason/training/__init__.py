"""Training: the step-aware loss, batches, checkpoints, the model's own errors, processes."""
from nanoreason.model.adapters import attach_adapters
from nanoreason.model.router import route
from nanoreason.training.loss import step_aware_loss
from nanoreason.training.train import train

__all__ = ["attach_adapters", "route", "step_aware_loss", "train"]
