"""The model: tokens, bases, two adapters and the route between them, decoding."""
import logging
import warnings

# Messages of libraries that this room loads and that a reader can do nothing about.
# bitsandbytes 0.50, on CPUs with AVX512-BF16: an optional kernel for 4-bit weights is absent.
logging.getLogger("bitsandbytes.backends.cpu.ops").addFilter(
    lambda record: "gemm_4bit_forward" not in record.getMessage())
# tqdm 4.70, in a notebook without ipywidgets: its bar is text then.
warnings.filterwarnings("ignore", message="IProgress not found")
# PEFT 0.21 asks transformers 5.23 under a name that is about to go.
warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated",
                        category=FutureWarning)
