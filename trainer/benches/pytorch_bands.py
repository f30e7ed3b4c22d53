#!/usr/bin/env python3
"""A training step of a band of preset `sharp` in PyTorch, to measure training beside. Prints one JSON line.

It follows core/src/{nn/patch_net.rs, diffusion/score_net.rs, objective.rs}: the same networks, loss and optimizers on made
coefficients. python pytorch_bands.py --stage fine --device cuda --batch 512 --bf16 --compile
"""
import argparse
import json
import math
import time

import torch
import torch.nn.functional as F
from torch import nn

#                 channels context width layers heads rows columns
STAGES = {"coarse": (64, 0, 256, 8, 4, 8, 8), "fine": (60, 4, 192, 8, 0, 8, 8)}
EMBEDDING = 128


def dense(inputs, outputs, gain=1.0):
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=gain / math.sqrt(inputs))
    nn.init.zeros_(layer.bias)
    return layer


def rms_norm(x):
    return x * (x.square().mean(-1, keepdim=True) + 1e-6).rsqrt()


def modulated(x, modulation):
    scale, shift = modulation[:, None].chunk(2, dim=-1)
    return rms_norm(x) * (scale + 1.0) + shift


def shift(x, rows, columns):
    batch, _, width = x.shape
    x, part = x.view(batch, rows, columns, width), width // 8
    parts = [x[..., i * part:(i + 1) * part] for i in range(4)]
    moved = [F.pad(parts[0][:, :-1], (0, 0, 0, 0, 1, 0)), F.pad(parts[1][:, 1:], (0, 0, 0, 0, 0, 1)),
             F.pad(parts[2][:, :, :-1], (0, 0, 1, 0)), F.pad(parts[3][:, :, 1:], (0, 0, 0, 1)), x[..., 4 * part:]]
    return torch.cat(moved, -1).reshape(batch, rows * columns, width)


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        if heads:
            self.attention_film, self.qkv = dense(EMBEDDING, 2 * width, 0.0), dense(width, 3 * width)
            self.attention_output = dense(width, width, 0.0)
        self.film, self.dense_1 = dense(EMBEDDING, 2 * width, 0.0), dense(width, 4 * width, 1.4)
        self.dense_2 = dense(4 * width, width, 0.0)

    def forward(self, x, condition, rows, columns):
        if self.heads:
            batch, tokens, width = x.shape
            h = self.qkv(modulated(x, self.attention_film(condition)))
            q, k, v = h.view(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
            mixed = F.scaled_dot_product_attention(rms_norm(q), rms_norm(k), v)
            x = x + self.attention_output(mixed.transpose(1, 2).reshape(batch, tokens, width))
        h = shift(modulated(x, self.film(condition)), rows, columns)
        return x + self.dense_2(F.relu(self.dense_1(h)))


class Net(nn.Module):
    def __init__(self, stage):
        super().__init__()
        channels, context, width, layers, heads, self.rows, self.columns = STAGES[stage]
        embedded = EMBEDDING * (2 if context else 1)
        self.condition = nn.Sequential(dense(embedded, EMBEDDING), nn.SiLU(), dense(EMBEDDING, EMBEDDING), nn.SiLU(),
                                       dense(EMBEDDING, EMBEDDING))
        self.input = dense(2 * channels + context, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.film, self.output = dense(EMBEDDING, 2 * width, 0.0), dense(width, 2 * channels, 0.0)

    def forward(self, tokens, embedded):
        condition = self.condition(embedded)
        h = self.input(tokens)
        for block in self.blocks:
            h = block(h, condition, self.rows, self.columns)
        return self.output(modulated(h, self.film(condition)))


def time_embedding(tau):
    half = EMBEDDING // 2
    frequencies = torch.exp(torch.arange(half, device=tau.device) * (-math.log(10_000.0) / (half - 1)))
    arguments = 1000.0 * tau[:, None] * frequencies
    return torch.cat([arguments.sin(), arguments.cos()], 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", choices=STAGES, default="fine")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    device = torch.device(args.device)
    channels, context, *_, rows, columns = STAGES[args.stage]
    net = Net(args.stage).to(device)
    forward = torch.compile(net) if args.compile else net
    matrices = [p for name, p in net.named_parameters() if "blocks" in name and "film" not in name and p.ndim == 2]
    others = [p for p in net.parameters() if all(p is not m for m in matrices)]
    optimizers = [torch.optim.Muon(matrices, lr=4e-3, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
                  torch.optim.AdamW(others, lr=4e-3, betas=(0.9, 0.99), weight_decay=0.01)]
    average = [p.detach().clone() for p in net.parameters()]
    deviations = torch.linspace(2.0, 0.1, channels, device=device)

    def step():
        f = torch.randn(args.batch, rows * columns, channels, device=device) * deviations
        given = torch.randn(args.batch, rows * columns, context, device=device)
        noise = torch.randn_like(f)
        tau = (torch.rand(1, device=device) + torch.arange(args.batch, device=device) / args.batch) % 1.0
        gamma = (tau * 14.0 - 7.0)[:, None, None]
        alpha_squared, sigma_squared = torch.sigmoid(-gamma), torch.sigmoid(gamma)
        z = f * alpha_squared.sqrt() + noise * sigma_squared.sqrt()
        variance = deviations.square() * alpha_squared + sigma_squared
        embedded = time_embedding(tau)
        if context:
            embedded = torch.cat([embedded, time_embedding(torch.rand_like(tau))], 1)
        with torch.autocast(device.type, torch.bfloat16, enabled=args.bf16):
            beside_noise = z / (z.square() + sigma_squared).sqrt()
            output = forward(torch.cat([z / variance.sqrt(), beside_noise, given], -1), embedded)
        output, log_ratio = output.float().chunk(2, -1)
        s = deviations * log_ratio.clamp(-7.0, 3.0).exp()
        variance = s.square() * alpha_squared + sigma_squared
        predicted = z * sigma_squared.sqrt() / variance - output * s * (alpha_squared / variance).sqrt()
        loss = ((noise - predicted).square().sum((1, 2)) * torch.sigmoid(gamma[:, 0, 0] + 2.0)).mean()
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 65536.0)
        for optimizer in optimizers:
            optimizer.step()
        torch._foreach_lerp_(average, [p.detach() for p in net.parameters()], 1e-3)

    def finish():
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    for _ in range(5):
        step()
    times, started = [], finish()
    while not times or finish() - started < args.seconds:
        before = finish()
        step()
        times.append(finish() - before)
    median = sorted(times)[len(times) // 2]
    print(json.dumps(dict(framework=f"PyTorch {torch.__version__}", **vars(args), steps=len(times),
                          median_images_per_second=round(args.batch / median, 1))))


if __name__ == "__main__":
    main()
