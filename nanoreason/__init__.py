"""NanoReason: four-stage reasoning with two LoRA adapters and a step-aware loss."""

__version__ = "0.1.0"
