#!/usr/bin/env bash
# joblib's tasks on Ray's backend (`ray.util.joblib.register_ray`), of unequal length.
#
# Versions: Python 3.11, joblib 1.6.0, ray 2.60.0.
# Expected: as with loky, a task goes to whichever worker is free, results may be had as they
#   come (`return_as="generator_unordered"`), and with n_jobs=1 the one worker is the cluster's.
# Seen: tasks go to the workers in turn, busy or not: behind one long task on two workers every
#   other short one waits for it while the second worker is idle. Results come all at the end
#   (the generators are refused). With n_jobs=1 the task runs in the calling process, not on the
#   cluster. What helps: joblib's threads, each of which waits for a plain Ray task.
# Exits 0 while this is so, with another status where it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3.11 -m venv env
env/bin/pip install --quiet joblib==1.6.0 ray==2.60.0
cat > turns.py <<'P'
import os, time
import joblib, ray
from joblib import Parallel, delayed
from ray.util.joblib import register_ray

def work(seconds):
    time.sleep(seconds)
    return os.getpid(), time.time()

ray.init(address="local", num_cpus=2, log_to_driver=False, include_dashboard=False)
register_ray()
tasks = [8.0, 0.1, 0.1, 0.1, 0.1]  # one long one, then short ones

def waited(run):
    """How many of the short tasks ended only after the long one."""
    (_, long), *short = run()
    return sum(ended > long for _, ended in short)

with joblib.parallel_config(backend="ray", n_jobs=2):
    Parallel(batch_size=1)(delayed(work)(0) for _ in range(2))  # the workers are up
    on_ray = waited(lambda: Parallel(batch_size=1)(delayed(work)(s) for s in tasks))
    try:
        Parallel(batch_size=1, return_as="generator_unordered")(delayed(work)(0) for _ in tasks)
        refused = False
    except ValueError as error:
        refused = "does not support return_as" in str(error)
with joblib.parallel_config(backend="ray", n_jobs=1):
    alone = Parallel()(delayed(work)(0) for _ in range(2))[0][0] == os.getpid()
with joblib.parallel_config(backend="loky", n_jobs=2):
    Parallel(batch_size=1)(delayed(work)(0) for _ in range(2))
    on_loky = waited(lambda: Parallel(batch_size=1)(delayed(work)(s) for s in tasks))
remote = ray.remote(work)
in_threads = waited(lambda: Parallel(2, backend="threading")(
    delayed(lambda s: ray.get(remote.remote(s)))(s) for s in tasks))
print("short tasks behind the long one: ray", on_ray, "loky", on_loky, "threads", in_threads)
print("generator refused:", refused, "one job in the calling process:", alone)
assert on_ray == 2 and on_loky == in_threads == 0 and refused and alone
P
HOME="$folder" RAY_TMPDIR="$folder" env/bin/python turns.py
