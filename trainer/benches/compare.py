#!/usr/bin/env python3
"""Trains the same model with this project's trainer and with PyTorch, and prints one Markdown table.

    python trainer/benches/compare.py                            # the CPU, both presets
    python trainer/benches/compare.py --device cuda --seconds 60
    python trainer/benches/compare.py --python path/to/python    # the one that has torch, numpy

The trainer runs on its built-in phantoms, PyTorch on made images of the same size. Speed is that of training steps
alone, without start, validation or checkpoints; the first steps, which compile and tune, are left out of both.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
WORKSPACE = HERE.parents[1]
# Steps that compile kernels and tune them.
LEFT_OUT = 5


def build(device):
    """Builds the trainer and returns its program: what cargo itself takes is no part of the measurement."""
    command = ["cargo", "build", "--release", "-p", "trainer", "--message-format", "json-render-diagnostics"]
    if device == "cpu":
        command.append("--no-default-features")
    lines = subprocess.run(command, cwd=WORKSPACE, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    messages = [json.loads(line) for line in lines if line.startswith("{")]
    programs = [m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "trainer"]
    if not programs:
        sys.exit("error: cargo built no program trainer")
    return programs[-1]


def gpu_memory():
    """Memory in use on the first GPU, in MiB, by all programs; none without nvidia-smi."""
    query = ["nvidia-smi", "--id=0", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    try:
        return int(subprocess.run(query, capture_output=True, text=True, timeout=10).stdout.strip())
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


class GpuWatch(threading.Thread):
    """The most memory of the first GPU that came into use meanwhile, in MiB; nothing else should use it."""

    def __init__(self):
        super().__init__(daemon=True)
        self.before, self.peak, self.over = gpu_memory(), None, threading.Event()

    def run(self):
        while self.before is not None and not self.over.wait(0.2):
            now = gpu_memory()
            if now is not None:
                self.peak = max(self.peak or 0, now - self.before)


def run(command, env, gpu):
    """Runs a program; returns what it printed, its peak RSS and its peak GPU memory in MiB."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        watch = GpuWatch()
        child = subprocess.Popen(command, env=env, stdout=out, stderr=errors)
        if gpu:
            watch.start()
        _, status, usage = os.wait4(child.pid, 0)
        watch.over.set()
        child.returncode = os.waitstatus_to_exitcode(status)
        # 75: the trainer stopped at its time limit.
        if child.returncode not in (0, 75):
            errors.seek(0)
            sys.exit(f"error: {' '.join(map(str, command))} failed:\n{errors.read()[-2000:]}")
        out.seek(0)
        rss = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
        return out.read(), round(rss), watch.peak


def ours(program, args, preset, env):
    """Images per second from the times of the steps in the trainer's log."""
    with tempfile.TemporaryDirectory() as folder:
        # The limit counts from the start of the program, before there is a first step.
        limit = f"{args.seconds + 2 * args.warmup:.0f}s"
        command = [program, "train", "--preset", preset, "--device", args.device, "--out", f"{folder}/run",
                   "--time-limit", limit, "--set", "run.validate_every=1000000",
                   "--set", "run.checkpoint_every=1000000", "--steps", "1000000"]
        if args.batch:
            command += ["--batch", str(args.batch)]
        _, rss, gpu = run(command, env, args.device == "cuda")
        lines = [json.loads(line) for line in open(f"{folder}/run/log.jsonl")]
    batch = args.batch or {"paper": 64, "quick": 32}[preset]
    # The median step: a machine does other things at times, and a mean would take them in.
    times = [b["seconds"] - a["seconds"] for a, b in zip(lines, lines[1:])][LEFT_OUT:]
    late = [t for t, line in zip(times, lines[LEFT_OUT + 1:]) if line["seconds"] > args.warmup] or times
    if not late:
        sys.exit(f"error: the trainer took {len(lines)} steps in {args.seconds} s; more --seconds are needed")
    return batch / statistics.median(late), batch / statistics.mean(late), rss, gpu


def theirs(args, preset, env, extra):
    command = [args.python, str(HERE / "pytorch.py"), "--preset", preset, "--device", args.device,
               "--seconds", str(args.seconds), "--threads", str(args.threads), *extra]
    if args.batch:
        command += ["--batch", str(args.batch)]
    text, rss, gpu = run(command, env, args.device == "cuda")
    result = json.loads(text.strip().splitlines()[-1])
    return result["framework"], result["median_images_per_second"], result["images_per_second"], rss, gpu


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", nargs="+", choices=["quick", "paper"], default=["quick", "paper"])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--batch", type=int, help="images a step [default: the preset's]")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long each is measured")
    parser.add_argument("--warmup", type=float, default=5.0, help="seconds before, of the trainer")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity")
                        else os.cpu_count(), help="CPU threads of both")
    parser.add_argument("--python", default=sys.executable, help="a Python with torch [default: this one]")
    parser.add_argument("--trainer", help="a built trainer [default: cargo builds one]")
    parser.add_argument("--compile", action="store_true", help="measure torch.compile as well")
    args = parser.parse_args()
    program = args.trainer or build(args.device)
    threads = str(args.threads)
    env = os.environ | {"RAYON_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
    rows = []
    for preset in args.preset:
        median, mean, rss, gpu = ours(program, args, preset, env)
        rows.append((preset, "Medical VDM", median, mean, rss, gpu, None))
        for extra in [[], ["--compile"]] if args.compile else [[]]:
            time.sleep(1)
            name, their_median, their_mean, rss, gpu = theirs(args, preset, env, extra)
            name = " ".join([name.split("+")[0], *(e.strip("-") for e in extra)])
            rows.append((preset, name, their_median, their_mean, rss, gpu, median / their_median))
    print(f"Training steps on {args.device}, {threads} threads, float32.\n")
    print("| preset | program | images/s, median step | images/s, mean | peak RSS | peak GPU memory | ours / theirs |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for preset, name, median, mean, rss, gpu, ratio in rows:
        gpu = "–" if gpu is None else f"{gpu} MiB"
        ratio = "" if ratio is None else f"{ratio:.2f}×"
        print(f"| {preset} | {name} | {median:.0f} | {mean:.0f} | {rss} MiB | {gpu} | {ratio} |")


if __name__ == "__main__":
    main()
