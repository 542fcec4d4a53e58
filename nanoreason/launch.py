"""What one training process runs, under torchrun: `python -m nanoreason.launch params.yaml`.

`train(params)` starts it with more than one process (see `processes`). By hand, with a
parameter file as a run writes it, or a profile's:

    torchrun --standalone --nproc-per-node 2 -m nanoreason.launch params/kaggle-2xt4.yaml

Over several machines the same on each of them, with the address of one; the package, the
data and the base must be on all, and process 0's machine gets the files of the run:

    torchrun --nnodes 2 --nproc-per-node 2 --rdzv-backend c10d --rdzv-id nanoreason \
        --rdzv-endpoint HOST:29500 -m nanoreason.launch params/kaggle-2xt4.yaml

`accelerate launch` starts the same by the file params/accelerate/multi_gpu.yaml.

`batch_size` is that of all processes together, so the number of processes changes neither
the steps nor the loss.
"""
from __future__ import annotations

import argparse
import os
import sys
from datetime import timedelta
from pathlib import Path

import torch
from torch.distributed.elastic.multiprocessing.errors import record

from nanoreason import paths
from nanoreason.params.sets import read_parameters
from nanoreason.params.validation import read_mapping
from nanoreason.training.train import train_here

PATIENCE = timedelta(hours=12)  # the others wait while process 0 prepares the data


@record
def main() -> None:
    """Join the group, train, and leave it. Raises SystemExit outside torchrun."""
    parser = argparse.ArgumentParser(description="one training process, under torchrun")
    parser.add_argument("params", type=Path, help="a YAML file of parameters")
    parser.add_argument("--runs", type=Path, help="the folder of runs, instead of build/runs")
    given = parser.parse_args()
    if "LOCAL_RANK" not in os.environ:
        parser.error("start it with torchrun, which numbers the processes (LOCAL_RANK is not "
                     "set); one process needs no launch, call nanoreason.training.train")
    if os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true":
        parser.error("FSDP leaves each process a part of the model, and the adapters are written "
                     "from a whole one: take params/accelerate/multi_gpu.yaml, a replica a GPU")
    paths.RUNS = given.runs or paths.RUNS
    params = read_parameters("train", read_mapping(given.params)[0])
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo",
                                         timeout=PATIENCE)
    train_here(params)
    torch.distributed.barrier()  # nobody leaves while another still needs it
    sys.stdout.flush()
    sys.stderr.flush()
    # Taking the group down joins gloo's thread with the GIL held, and that thread may be
    # waiting for the GIL to drop its last work: one run in five never ended.
    os._exit(0)


if __name__ == "__main__":
    main()
