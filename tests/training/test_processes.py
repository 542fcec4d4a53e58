"""Several processes: one gradient, one record, one decision, and one clear error.

Run by torchrun, this file is its own worker.
"""
from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import torch
from small_step import (backward, counts_of, difference, gradients, parts, step_rows,
                        tiny_model)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.elastic.multiprocessing.errors import record
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from nanoreason import host
from nanoreason.host import GivenError
from nanoreason.model.tokens import tag_ids
from nanoreason.paths import PARAMS
from nanoreason.training import attach_adapters, processes, route, train, trainer
from nanoreason.training.checkpoints import Checkpoints
from nanoreason.data.prepare import prepare
from nanoreason.model.base import load_base
from nanoreason.params import TrainParams
from nanoreason.training.processes import ProcessError, process_count, run_processes
from nanoreason.model.adapters import adapter_parameters
from nanoreason.runs import Run
from nanoreason.training.resume import TrainingState
from nanoreason.training.train import encode_records

POISONED = 2  # the step whose loss is infinite in one process only


def tuned(micro_batch_size, folder, epochs=3):
    """(gradient of the first step, adapters at the end, records) of nano, a step an epoch.

    32 traces of unequal length, lora_B away from zero; in step 2 the last process's loss
    is infinite, while its gradient stays what it was.
    """
    params = TrainParams(profile="nano", batch_size=32, micro_batch_size=micro_batch_size,
                         micro_batch_tokens=10**6, learning_rate=1e-3, epochs=epochs, seed=3)
    model, tokenizer = load_base("nano", "none")
    model = attach_adapters(model, rank=4, seed=3)
    generator = torch.Generator().manual_seed(1)
    for name in model.router.names:
        for key, parameter in adapter_parameters(model, name):
            if "lora_B" in key:
                parameter.data.normal_(0, 0.02, generator=generator)
    rows, _ = encode_records(tokenizer, prepare("procedural", total=150, seed=3), 512)
    rows = sorted(rows, key=len)[:96:3]
    gradients = []

    class Watched(trainer.StepAwareTrainer):
        def compute_loss(self, *args, **keywords):
            result = super().compute_loss(*args, **keywords)
            last = self.accelerator.process_index == self.accelerator.num_processes - 1
            if self.state.global_step + 1 == POISONED and last:
                return dataclasses.replace(result, total=result.total + math.inf)
            return result

        def _clip_grad_norm(self, model):
            gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()
                                        if p.requires_grad]))
            return super()._clip_grad_norm(model)

    run = Run(Path(folder))
    state = TrainingState(run, Checkpoints(run.path("checkpoints"), {}, 3.0))
    records, _ = trainer.tune(Watched(model, tokenizer, rows, params, state, time.monotonic()))
    weights = torch.cat([p.detach().flatten() for p in model.parameters() if p.requires_grad])
    return gradients[0], weights, records


def loss_gradients(rank):
    """{normalisation and way: gradient} of the loss alone under DDP, in one of two processes.

    16 rows of `step_rows` each, as four micro-batches of 4.
    """
    batches, found = parts(step_rows()[16 * rank:16 * rank + 16], 4), {}
    # Process 0 reduces after the micro-batch that no row of which reaches VERIFY: its unused
    # adapter must still take part.
    batches.append(batches.pop(2))
    for normalise in ("stage", "token"):
        for chunked in (False, True):
            model = torch.nn.parallel.DistributedDataParallel(tiny_model())
            counts = counts_of(batches)
            for batch in batches[:-1]:
                with model.no_sync():
                    backward(model, batch, counts, 2, normalise, chunked)
            backward(model, batches[-1], counts, 2, normalise, chunked)
            found[f"{normalise} {'chunked' if chunked else 'plain'}"] = gradients(model)
    return found


def gradients_of_shards():
    """Loss and adapters' gradients of two rows by a whole replica, then by one whose layers
    FSDP2 has dealt out to the two processes."""
    model, tokenizer = load_base("nano", "none")
    model, found = attach_adapters(model, rank=4, seed=3), []
    generator = torch.Generator().manual_seed(1)
    for key, parameter in model.named_parameters():
        if "lora_B" in key:
            parameter.data.normal_(0, 0.02, generator=generator)
    ids = torch.randint(3, 300, (2, 40), generator=generator)
    ids[0, 20:20 + len(tag_ids(tokenizer))] = torch.tensor(tag_ids(tokenizer))
    mask = route(ids, None, 5, tag_ids(tokenizer))
    mesh = init_device_mesh("cpu", (2,))
    for sharded in (False, True):
        for part in [*model.get_base_model().model.layers, model] if sharded else ():
            fully_shard(part, mesh=mesh)
        with model.router.full(mask):
            loss = model(input_ids=ids, labels=ids).loss
            loss.backward()
        grads = [p.grad for p in model.parameters() if p.requires_grad]
        found.append(torch.cat([loss.detach()[None], *(
            (g.full_tensor() if sharded else g).flatten() for g in grads)]))
        model.zero_grad()
    assert isinstance(grads[0], DTensor)
    return found


@record
def worker(folder):
    """One of two processes: some 16 of 32 traces, in micro-batches of 4; then one fails."""
    torch.set_num_threads(1)
    host.SECONDS = 0.0  # a line of progress for each step, however quick it is
    torch.distributed.init_process_group("gloo")
    gradient, weights, records = tuned(4, folder)
    torch.save({"gradient": gradient, "weights": weights,
                "loss": loss_gradients(processes.rank()), "shards": gradients_of_shards()},
               f"{folder}/{processes.rank()}.pt")
    Path(f"{folder}/{processes.rank()}.json").write_text(json.dumps(records))
    assert processes.gathered(processes.rank() * 7) == [0, 7]
    with processes.first_before_others():
        assert Path(f"{folder}/seen").exists() == bool(processes.rank())
        Path(f"{folder}/seen").touch()
    if processes.rank() == 1:
        raise ValueError("process 1 has had enough")
    torch.distributed.barrier()  # never met: what it waits for has failed


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """What two processes leave, what they print, and the error that ends them."""
    folder = tmp_path_factory.mktemp("pair")
    printed = []

    class Screen:
        write = staticmethod(printed.append)
        flush = staticmethod(lambda: None)

    with pytest.MonkeyPatch.context() as patch, redirect_stdout(Screen):
        patch.delenv("TQDM_DISABLE", raising=False)
        with pytest.raises(ProcessError) as caught:
            run_processes(2, __file__, str(folder))
    return folder, "".join(printed), str(caught.value)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The same in this process: eight micro-batches of 4, and one of 32 for one step."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield {size: tuned(size, tmp_path_factory.mktemp("alone"), epochs)
           for size, epochs in ((4, 3), (32, 1))}
    torch.set_num_threads(threads)


def distance(found, expected):
    return float((found - expected).norm() / expected.norm())


def test_32_and_8_times_4_and_two_processes_give_one_gradient(alone, pair):
    expected = alone[32][0]
    assert float(expected.norm()) > 0.01
    assert distance(alone[4][0], expected) <= 1e-5
    for rank in (0, 1):
        assert distance(torch.load(pair[0] / f"{rank}.pt")["gradient"], expected) <= 1e-5


def test_the_loss_of_two_processes_of_sixteen_is_that_of_one_batch_of_32(pair):
    expected = {}
    for normalise in ("stage", "token"):
        model = tiny_model()
        backward(model, step_rows(), None, normalise=normalise)
        expected[normalise] = gradients(model)
    for rank in (0, 1):
        found = torch.load(pair[0] / f"{rank}.pt")["loss"]
        assert len(found) == 4
        for key, gradient in found.items():
            assert difference(gradient, expected[key.split()[0]]) <= 1e-5, (rank, key)


def test_a_model_that_is_sharded_gives_the_loss_and_gradient_of_a_whole_one(pair):
    for rank in (0, 1):
        whole, sharded = torch.load(pair[0] / f"{rank}.pt")["shards"]
        assert float(whole[1:].norm()) > 0.01 and distance(sharded, whole) <= 1e-6


def test_two_processes_train_the_same_adapters_and_skip_alike(alone, pair):
    two = [torch.load(pair[0] / f"{rank}.pt")["weights"] for rank in (0, 1)]
    assert torch.equal(*two)
    assert distance(two[0], alone[4][1]) < 1e-4
    records = [json.loads((pair[0] / f"{rank}.json").read_text()) for rank in (0, 1)]
    assert records[0] == records[1]
    assert [row["skipped"] for row in records[0]] == [0, 1, 0]
    for ours, one in zip(records[0], alone[4][2], strict=True):
        assert ours["execute_tokens"] == one["execute_tokens"]
        for name in ("total", "gradient_norm", "verify_loss", "reasoning_update_norm"):
            assert ours[name] == (pytest.approx(one[name], rel=1e-4) if one[name] else one[name])
    assert records[0][1]["reasoning_update_norm"] == 0 and records[0][1]["total"] is None


def test_the_failure_of_one_process_is_the_error_and_the_bar_comes_through(pair):
    _, printed, error = pair
    assert error == ("training process 1 of 2 (counted from 0) failed: "
                     "ValueError: process 1 has had enough")
    assert printed.count("tuning: 0/3 ") == 1  # one process shows how far it is
    assert "Traceback" in printed


@pytest.mark.parametrize("left", [None, "", '{"message": {"mess'])
def test_a_process_that_leaves_no_message_is_told_by_its_status_and_its_output(
        tmp_path, capsys, left):
    """None, or no whole one: it is ended while it writes."""
    script = tmp_path / "script.py"
    script.write_text("import os, pathlib\n"
                      "file = pathlib.Path(os.environ['TORCHELASTIC_ERROR_FILE'])\n"
                      f"{left!r} is None or file.write_text({left!r})\n"
                      "print('the bar\\rthe last words', flush=True); os._exit(3)")
    with pytest.raises(ProcessError, match="status 1, and no process left a message"):
        run_processes(1, str(script))
    assert "the bar\rthe last words\n" in capsys.readouterr().out


def test_the_number_of_processes():
    assert [process_count(n, gpus=0) for n in (None, 1, 2)] == [1, 1, 2]
    assert [process_count(n, gpus=2) for n in (None, 1)] == [2, 1]
    with pytest.raises(ValueError, match="processes = 3, but torch sees 2"):
        process_count(3, gpus=2)
    assert process_count(None) == max(1, torch.cuda.device_count())
    most = max(2, processes.cores())
    assert process_count(most, gpus=0) == most
    with pytest.raises(GivenError, match=f"^processes = 1000, but .* set processes to {most} or"):
        process_count(1000, gpus=0)


@pytest.mark.slow
def test_train_starts_two_processes_and_returns_their_run(workspace, capsys):
    small = {"profile": "nano", "traces": 64, "batch_size": 16, "micro_batch_size": 4}
    one, two = (train(TrainParams(**small, processes=n, run=f"p{n}")) for n in (1, 2))
    assert "4/4" in capsys.readouterr().out
    assert one.read_environment()["training"]["processes"] == 1
    assert two.read_environment()["training"]["processes"] == 2
    differences = (one.read_metrics() - two.read_metrics()).abs().max()
    assert differences["total"] < 1e-5 and differences["execute_tokens"] == 0
    with pytest.raises(ProcessError, match="process 0 of 2.*nowhere"):
        train(TrainParams(**small, processes=2, data="gsm8k", data_path="nowhere"))


@pytest.mark.slow
def test_accelerate_starts_the_training_that_torchrun_starts(workspace):
    params = workspace / "params.yaml"
    params.write_text("{profile: nano, traces: 32, batch_size: 16, micro_batch_size: 4, run: two}")
    call, config = ("-m", "nanoreason.launch", str(params), "--runs"), PARAMS / "accelerate"
    run_processes(2, *call, str(workspace / "torchrun"))
    subprocess.run([sys.executable, "-m", "accelerate.commands.launch", "--config_file",
                    str(config / "multi_gpu.yaml"), *call, str(workspace / "accelerate")],
                   check=True)
    one, other = (sorted((workspace / way / "two").rglob("*.safetensors"))
                  for way in ("torchrun", "accelerate"))
    assert len(one) == 2 and [p.read_bytes() for p in one] == [p.read_bytes() for p in other]


def test_a_launch_that_would_shard_the_model_is_refused():
    ended = subprocess.run([sys.executable, "-m", "nanoreason.launch", "x.yaml"], text=True,
                           capture_output=True, env={**os.environ, "LOCAL_RANK": "0",
                                                     "ACCELERATE_USE_FSDP": "true"})
    assert ended.returncode == 2 and "take params/accelerate/multi_gpu.yaml" in ended.stderr


if __name__ == "__main__":
    worker(sys.argv[1])
