#!/usr/bin/env python3
"""The same model, loss and optimizer step in PyTorch, to measure training beside.

It follows core/src/{config,nn,schedule,loss,model,objective}.rs line by line: parameters have the same names and
shapes as in a file of weights, so that `--weights` can load one that the trainer wrote and compare the losses.
Prints one JSON line; images/s leave out the first steps.

    python pytorch.py --preset paper --device cpu --threads 8 --seconds 30
    python pytorch.py --preset quick --weights runs/quick/quick.safetensors --data DIR --losses
"""
import argparse
import json
import math
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

#                side latent width layers score_layers embedding hidden batch learning_rate warmup steps
PRESETS = {
    "paper": dict(side=256, latent=64, width=128, layers=6, score_layers=10, embedding=128, hidden=32,
                  batch=64, learning_rate=8e-4, warmup=250, steps=20_000),
    "quick": dict(side=64, latent=16, width=64, layers=2, score_layers=3, embedding=32, hidden=8,
                  batch=32, learning_rate=2e-3, warmup=50, steps=1000),
}
GAMMA_MIN, GAMMA_MAX = -5.0, 5.0
TIMES_PER_IMAGE = 4
BETAS, EPSILON, WEIGHT_DECAY, CLIP_NORM, FINAL_FRACTION = (0.9, 0.99), 1e-8, 1e-4, 1.0, 1e-5
ENCODER_INPUT_SCALE = 1280.0


class Dense(nn.Module):
    """x W + b with W [inputs, outputs], initialised with variance gain² / inputs."""

    def __init__(self, inputs, outputs, gain):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs) * (gain / math.sqrt(inputs)))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x):
        return torch.addmm(self.bias, x, self.weight)


class ResidualBlock(nn.Module):
    """h + dense_2(swish(film(dense_1(swish(h)))))."""

    def __init__(self, width, condition):
        super().__init__()
        self.dense_1 = Dense(width, width, 1.0)
        self.film = Dense(condition, 2 * width, 0.0) if condition else None
        self.dense_2 = Dense(width, width, 0.0)

    def forward(self, x, condition):
        h = self.dense_1(F.silu(x))
        if self.film is not None:
            scale, shift = self.film(condition).chunk(2, dim=1)
            h = h * (scale + 1.0) + shift
        return x + self.dense_2(F.silu(h))


class ResNet(nn.Module):
    """dense → residual blocks → dense."""

    def __init__(self, inputs, outputs, width, layers, condition=None, input_gain=1.0, output_gain=1.0):
        super().__init__()
        self.input = Dense(inputs, width, input_gain)
        self.blocks = nn.ModuleList(ResidualBlock(width, condition) for _ in range(layers))
        self.output = Dense(width, outputs, output_gain)

    def forward(self, x, condition=None):
        h = self.input(x)
        for block in self.blocks:
            h = block(h, condition)
        return self.output(h)


class Encoder(nn.Module):
    def __init__(self, p):
        super().__init__()
        pixels = p["side"] ** 2
        self.scale = min(ENCODER_INPUT_SCALE / pixels, 1.0)
        # Given to the optimizer as in the trainer, where it has no gradient either.
        self.mean = nn.Parameter(torch.full((pixels,), 0.5))
        self.net = ResNet(pixels, p["latent"], p["width"], p["layers"], input_gain=1.0 / self.scale)

    def forward(self, x):
        return self.net((x - self.mean.detach()) * self.scale)


class Decoder(nn.Module):
    def __init__(self, p):
        super().__init__()
        self.net = ResNet(p["latent"], p["side"] ** 2, p["width"], p["layers"], output_gain=0.1)

    def forward(self, f):
        return self.net(f)


class ScoreNet(nn.Module):
    def __init__(self, p):
        super().__init__()
        dim = p["embedding"]
        self.condition_1, self.condition_2, self.condition_3 = (Dense(dim, dim, 1.0) for _ in range(3))
        self.net = ResNet(p["latent"], p["latent"], p["width"], p["score_layers"], dim, output_gain=0.0)

    def forward(self, z, embedded):
        h = F.silu(self.condition_1(embedded))
        h = F.silu(self.condition_2(h))
        return z + self.net(z, self.condition_3(h))


class Monotonic(nn.Module):
    """raw(t) and raw′(t) of the monotone network."""

    def __init__(self, hidden):
        super().__init__()
        uniform = lambda low, high: nn.Parameter(torch.empty(hidden).uniform_(low, high))
        self.linear_weight = nn.Parameter(torch.ones(1))
        self.hidden_weight, self.hidden_bias = uniform(2.0, 8.0), uniform(-4.0, 4.0)
        self.output_weight = uniform(0.05, 0.15)

    def forward(self, t):
        a, b, c = self.linear_weight.abs(), self.hidden_weight.abs(), self.output_weight.abs()
        s = torch.sigmoid((2.0 * t - 1.0)[:, None] * b + self.hidden_bias)
        value = (c * (2.0 * s - 1.0)).mean(1)
        slope = (c * b * s * (1.0 - s) * 4.0).mean(1)
        return a * t + value, slope + a


class Schedule(nn.Module):
    def __init__(self, p):
        super().__init__()
        self.gamma_min = nn.Parameter(torch.tensor([GAMMA_MIN]))
        self.gamma_max = nn.Parameter(torch.tensor([GAMMA_MAX]))
        self.monotonic = Monotonic(p["hidden"])

    def position(self, t):
        """(raw(t) − raw(0)) / (raw(1) − raw(0)) and its derivative."""
        ends, _ = self.monotonic(torch.tensor([0.0, 1.0], device=t.device))
        start, span = ends[:1], ends[1:] - ends[:1]
        value, slope = self.monotonic(t)
        return (value - start) / span, slope / span


class Networks(nn.Module):
    def __init__(self, p):
        super().__init__()
        self.schedule = Schedule(p)
        self.score_net = ScoreNet(p)
        self.decoder = Decoder(p)
        self.encoder = Encoder(p)

    def set_mean_image(self, mean):
        """The encoder measures its input from the mean image, and the decoder starts at its logits."""
        with torch.no_grad():
            self.decoder.net.output.bias.copy_(torch.logit(mean, eps=1e-3))
            self.encoder.mean.copy_(mean)


def time_embedding(tau, dim):
    half = dim // 2
    frequencies = torch.exp(torch.arange(half, device=tau.device) * (-math.log(10_000.0) / (half - 1)))
    arguments = 1000.0 * tau[:, None] * frequencies
    return torch.cat([arguments.sin(), arguments.cos()], 1)


def gradient_difference(residual):
    vertical = (residual[:, 1:] - residual[:, :-1]).square().mean((1, 2))
    return vertical + (residual[:, :, 1:] - residual[:, :, :-1]).square().mean((1, 2))


def losses(networks, p, x, gammas, noise_0, noise_t):
    """The terms of each image and the diffusion loss of each time, in nats; gammas: γ(0), γ(1), γ(t_i), γ′(t_i)."""
    low, high, at_t, gamma_prime = gammas
    f = networks.encoder(x)
    alpha_0 = torch.sigmoid(-low).sqrt()
    z_0 = f * alpha_0 + noise_0 * torch.sigmoid(low).sqrt()
    logits = networks.decoder(z_0 / alpha_0)

    draws = at_t.shape[0] // f.shape[0]
    gamma = at_t[:, None]
    z_t = f.repeat(draws, 1) * torch.sigmoid(-gamma).sqrt() + noise_t * torch.sigmoid(gamma).sqrt()
    tau = (at_t - low) / (high - low)
    predicted = networks.score_net(z_t, time_embedding(tau, p["embedding"]))
    diffusion_draws = 0.5 * gamma_prime * (noise_t - predicted).square().sum(1)

    mean = torch.sigmoid(logits)
    residual = (x - mean).view(-1, p["side"], p["side"])
    return dict(
        reconstruction=(F.softplus(logits) - x * logits).sum(1),
        latent=0.5 * ((f.square() - 1.0) * torch.sigmoid(-high) + F.softplus(-high)).sum(1),
        diffusion=diffusion_draws.view(draws, -1).mean(0),
        # Logged by the trainer at each step, so computed here as well; without weight they have no gradient.
        mse=residual.detach().square().mean((1, 2)),
        gradient_difference=gradient_difference(residual.detach()),
    ), diffusion_draws


def draw(x, p, generator):
    """Antithetic times, and the noise of a batch."""
    draws = x.shape[0] * TIMES_PER_IMAGE
    times = (torch.rand(1, generator=generator) + torch.arange(draws) / draws) % 1.0
    normal = lambda rows: torch.randn(rows, p["latent"], generator=generator).to(x.device)
    return times.to(x.device), normal(x.shape[0]), normal(draws)


def backward(networks, p, x, times, noise_0, noise_t):
    """Gradients of the bound; those of the schedule's interior are of the squared diffusion loss (objective.rs)."""
    schedule = networks.schedule
    low, high = schedule.gamma_min.detach(), schedule.gamma_max.detach()  # The presets keep the endpoints.
    position, slope = schedule.position(times)
    span = high - low
    leaf = lambda t: t.detach().requires_grad_()
    at_t, gamma_prime = leaf(low + span * position), leaf(span * slope)
    terms, diffusion_draws = losses(networks, p, x, (low, high, at_t, gamma_prime), noise_0, noise_t)
    (terms["reconstruction"] + terms["latent"] + terms["diffusion"]).mean().backward()
    factor = diffusion_draws.detach() * 2.0 / (diffusion_draws.detach().mean() + 1e-12)
    surrogate = (at_t.grad * factor * (low + span * position)).sum()
    (surrogate + (gamma_prime.grad * factor * (span * slope)).sum()).backward()
    return terms


def learning_rate_at(p, step):
    warm = min(step / p["warmup"], 1.0)
    progress = min(max((step - p["warmup"]) / (p["steps"] - p["warmup"]), 0.0), 1.0)
    cosine = 0.5 * (1.0 + math.cos(math.pi * progress))
    return p["learning_rate"] * warm * (FINAL_FRACTION + (1.0 - FINAL_FRACTION) * cosine)


def step(networks, optimizer, p, x, number, generator):
    """One optimizer step with all that the trainer does in one; returns what it logs, in bits/dim."""
    optimizer.zero_grad(set_to_none=True)
    terms = backward(networks, p, x, *draw(x, p, generator))
    pixels = p["side"] ** 2
    norm = nn.utils.clip_grad_norm_(networks.parameters(), CLIP_NORM * pixels)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate_at(p, number)
    optimizer.step()
    # Read from the device at every step, as the trainer does to write its log.
    values = torch.stack([*(term.mean() for term in terms.values()), norm / pixels]).tolist()
    logged = dict(zip([*terms, "gradient_norm"], values))
    for name in ("reconstruction", "latent", "diffusion"):
        logged[name] /= pixels * math.log(2.0)
    return logged


def images(args, p):
    """Images of a folder in name order, or smooth random ones, as bytes [N, H·W]."""
    side = p["side"]
    if args.data is None:
        generator = torch.Generator().manual_seed(0)
        coarse = torch.rand(args.images, 1, 8, 8, generator=generator)
        smooth = F.interpolate(coarse, size=(side, side), mode="bicubic", align_corners=False).clamp(0, 1)
        return (smooth.flatten(1) * 255).round().to(torch.uint8)
    from PIL import Image
    files = sorted(f for f in Path(args.data).rglob("*") if f.suffix.lower() in (".png", ".jpg", ".jpeg"))
    if not files:
        sys.exit(f"error: {args.data} holds no .png, .jpg or .jpeg file")
    read = lambda f: np.asarray(Image.open(f).convert("L").resize((side, side), Image.Resampling.LANCZOS))
    return torch.from_numpy(np.stack([read(f) for f in files[:args.images]])).flatten(1)


def load_weights(networks, path):
    """A file of weights that the trainer wrote, and the encoder's file beside it."""
    from safetensors.torch import load_file
    path = Path(path)
    tensors = load_file(path) | load_file(path.with_name(f"{path.stem}-encoder.safetensors"))
    networks.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})


def peak_memory_mib(device):
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    cuda = torch.cuda.max_memory_reserved(device) / 2**20 if device.type == "cuda" else None
    return round(rss), None if cuda is None else round(cuda)


def mean_of(logged):
    return {name: sum(line[name] for line in logged) / len(logged) for name in logged[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, default="quick")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--batch", type=int, help="images a step [default: the preset's]")
    parser.add_argument("--threads", type=int, help="CPU threads [default: PyTorch's]")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to measure")
    parser.add_argument("--steps", type=int, help="train so many steps instead, with a schedule of that length")
    parser.add_argument("--data", help="folder of images [default: made ones]")
    parser.add_argument("--images", type=int, default=1024, help="most images to train on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights", help="start from a file of weights of the trainer")
    parser.add_argument("--losses", action="store_true", help="print the losses of all images once, and do not train")
    parser.add_argument("--compile", action="store_true", help="compile the networks with torch.compile")
    parser.add_argument("--tf32", action="store_true", help="let CUDA round float32 products to TF32")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.device == "cuda" and not torch.cuda.is_available():
        sys.exit("error: PyTorch finds no CUDA device here")
    torch.backends.cuda.matmul.allow_tf32 = args.tf32
    device = torch.device(args.device)
    p = PRESETS[args.preset] | ({"steps": args.steps} if args.steps else {})
    batch = args.batch or p["batch"]
    torch.manual_seed(args.seed)
    networks = Networks(p)
    data = images(args, p)
    if args.weights:
        load_weights(networks, args.weights)
    else:
        networks.set_mean_image((data.double() / 255).mean(0).float())
    networks.to(device)
    data = data.to(device)
    generator = torch.Generator().manual_seed(args.seed)
    result = dict(framework=f"PyTorch {torch.__version__}", preset=args.preset, device=args.device, batch=batch,
                  threads=torch.get_num_threads(), parameters=sum(q.numel() for q in networks.parameters()),
                  trained_parameters=sum(q.numel() for n, q in networks.named_parameters() if n != "encoder.mean"))

    if args.losses:
        sums, pixels = {}, p["side"] ** 2
        for x in data.split(batch):
            terms = backward(networks, p, x.float() / 255, *draw(x, p, generator))
            for name, term in terms.items():
                sums[name] = sums.get(name, 0.0) + term.double().sum().item() / len(data)
        for name in ("reconstruction", "latent", "diffusion"):
            sums[name] /= pixels * math.log(2.0)
        print(json.dumps(result | dict(images=len(data), losses=sums)))
        return

    # As the trainer has it: one optimizer for all, weight decay on every parameter.
    optimizer = torch.optim.AdamW(networks.parameters(), lr=0.0, betas=BETAS, eps=EPSILON, weight_decay=WEIGHT_DECAY)
    if args.compile:
        for part in ("encoder", "decoder", "score_net"):
            getattr(networks, part).compile()
    # Steps that allocate and compile.
    warmup = min(5, args.steps - 1) if args.steps else 5
    number, first, started, seconds, times, last = 0, None, None, 0.0, [], []
    order = torch.randperm(len(data), generator=generator)
    while number < args.steps if args.steps else started is None or seconds < args.seconds:
        if number == warmup:
            started = time.perf_counter()
        indices = order[(torch.arange(batch) + number * batch) % len(data)]
        logged = step(networks, optimizer, p, data[indices.to(device)].float() / 255, number + 1, generator)
        first = first or logged
        last = [*last[-15:], logged]
        number += 1
        if started is not None:
            before, seconds = seconds, time.perf_counter() - started
            times.append(seconds - before)
    rss, cuda = peak_memory_mib(device)
    result |= dict(steps=number - warmup, seconds=round(seconds, 3),
                   images_per_second=round((number - warmup) * batch / seconds, 1),
                   median_images_per_second=round(batch / sorted(times)[len(times) // 2], 1),
                   mean_of_last_steps=mean_of(last), peak_rss_mib=rss, peak_cuda_mib=cuda, first_step=first)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
