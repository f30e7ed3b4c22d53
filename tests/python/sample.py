"""Draws a synthetic chest X-ray from a file of weights, by DDIM: python sample.py WEIGHTS OUT.png [SEED]"""

import json, sys
import numpy as np
from PIL import Image, ImageDraw, PngImagePlugin
from safetensors import safe_open

LABEL = "SYNTHETIC - NOT FOR DIAGNOSIS"
sigmoid = lambda x: 1 / (1 + np.exp(-x))
silu = lambda x: x * sigmoid(x)
relu = lambda x: np.maximum(x, 0)
rms_norm = lambda x: x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)


class Grid:  # an image as patches
    def __init__(self, height, width, patch):
        self.rows, self.columns, self.patch = height // patch, width // patch, patch

    def place(self, window):  # where the quarters of a window are in the image, which goes on at its opposite side
        patch, (row, column) = self.patch, divmod(window, self.columns)
        for quarter in range(4):
            y, x = (np.arange(patch) - patch // 2 + patch * shift for shift in (row + quarter // 2, column + quarter % 2))
            yield np.ix_(y % (self.rows * patch), x % (self.columns * patch))

    def overlap_add(self, windows):  # [patches, 4 patch²] -> image
        image = np.zeros((self.rows * self.patch, self.columns * self.patch))
        for i, window in enumerate(windows):
            for place, quarter in zip(self.place(i), window.reshape(4, self.patch, self.patch)):
                image[place] += quarter
        return image

    def shift(self, x):  # an eighth of the features from each of the four neighbours
        part, x = x.shape[1] // 8, x.reshape(self.rows, self.columns, -1)
        y = x.copy()
        for i, (to, of) in enumerate([(np.s_[:-1], np.s_[1:]), (np.s_[1:], np.s_[:-1])]):
            for j, axes in enumerate([lambda s: (s,), lambda s: (np.s_[:], s)]):
                group = np.s_[..., (i + 2 * j) * part : (i + 2 * j + 1) * part]
                moved = np.zeros_like(x[group])
                moved[axes(to)] = x[group][axes(of)]
                y[group] = moved
        return y.reshape(self.rows * self.columns, -1)

    def interpolation(self, patches):  # four numbers for each patch of a side to pixels
        cells = np.arange(4 * patches)
        apart = abs((np.arange(patches * self.patch)[:, None] + 0.5) * 4 / self.patch - 0.5 - cells)
        weights = np.exp(-0.5 * np.minimum(apart, len(cells) - apart) ** 2)
        return weights / np.sqrt((weights**2).sum(1, keepdims=True))

    def smooth(self, image, part):  # by a Gaussian of so large a part of a patch, cut off at the borders
        def matrix(side):
            weights = np.exp(-0.5 * ((np.arange(side)[:, None] - np.arange(side)) / (part * self.patch)) ** 2)
            return weights / weights.sum(1, keepdims=True)
        return matrix(image.shape[0]) @ image @ matrix(image.shape[1]).T

    def synthesis(self):  # the lapped transform's coefficients to windows, [patch², 4 patch²]
        m, n, k = self.patch, np.arange(2 * self.patch), np.arange(self.patch)[:, None]
        one = np.sqrt(2 / m) * np.sin(np.pi * (n + 0.5) / (2 * m)) * np.cos(np.pi / m * (n + (m + 1) / 2) * (k + 0.5))
        one = one.reshape(m, 2, m)
        return np.einsum("aiy,bjx->abijyx", one, one).reshape(m * m, 4 * m * m)


class Model:
    def __init__(self, path):
        with safe_open(path, "numpy") as file:
            self.p = {name: file.get_tensor(name).astype(float) for name in file.keys()}
            metadata = json.loads(file.metadata()["medical-vdm"])
        c = self.config = metadata["config"]
        self.sampling = metadata.get("sampling") or {**c, **c["score_net"]}  # older files keep it in the configuration
        self.grid = Grid(c["height"], c["width"], c["patch"]) if c.get("patch") else None
        self.low, self.high = self.p["schedule.gamma_min"], self.p["schedule.gamma_max"]

    def dense(self, x, name):
        return x @ self.p[name + ".weight"] + self.p[name + ".bias"]

    def norm(self, x, name):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return x * self.p[name + ".gamma"] + self.p[name + ".beta"]

    def net(self, x, name, config, condition=None):
        x = self.dense(x, name + ".input")
        for block in (f"{name}.blocks.{i}" for i in range(config["layers"])):
            h = self.norm(x, block + ".norm") if config["layer_norm"] else x
            h = self.dense(silu(h), block + ".dense_1")
            if condition is not None:
                scale, shift = np.split(self.dense(condition, block + ".film"), 2)
                h = h * (1 + scale) + shift
            x = x + self.dense(silu(h), block + ".dense_2")
        return self.dense(x, name + ".output")

    def modulated(self, x, name, condition):
        scale, shift = (0, 0) if condition is None else np.split(self.dense(condition, name), 2)
        return rms_norm(x) * (1 + scale) + shift

    def attention(self, x, name, heads, condition):
        x = self.dense(self.modulated(x, name + ".film", condition), name + ".input")
        q, k, v = x.reshape(len(x), 3, heads, -1).transpose(1, 2, 0, 3)
        weights = np.exp(rms_norm(q) @ rms_norm(k).transpose(0, 2, 1) / np.sqrt(q.shape[-1]))
        mixed = (weights / weights.sum(-1, keepdims=True)) @ v
        return self.dense(mixed.transpose(1, 0, 2).reshape(len(x), -1), name + ".output")

    def features(self, x, name, config, condition=None):  # a network on patches, without its last layer
        x = self.dense(x, name + ".input") + self.p[name + ".position"]
        for block in (f"{name}.blocks.{i}" for i in range(config["layers"])):
            if config["heads"] > 0:
                x = x + self.attention(x, block + ".attention", config["heads"], condition)
            h = self.grid.shift(self.modulated(x, block + ".film", condition))
            x = x + self.dense(relu(self.dense(h, block + ".dense_1")), block + ".dense_2")
        return self.modulated(x, name + ".film", condition)

    def gaussian(self, z, gamma, label):  # the noise in z if latents were normally distributed, or what is known better
        mean, rest, variances, components = (self.p["score_net.gaussian." + name]
                                             for name in ("mean", "rest", "variances", "components"))
        patches = self.grid.rows * self.grid.columns
        first = np.s_[:, : len(components) // patches]  # of each patch's numbers
        x = z - np.sqrt(sigmoid(-gamma)) * mean
        scores = x.reshape(patches, -1)[first].ravel() @ components

        def spread(scores):
            full = np.zeros((patches, len(z) // patches))
            full[first] = (components @ scores).reshape(patches, -1)
            return full.ravel()

        inside, outside = (1 / (v * sigmoid(-gamma) + sigmoid(gamma)) for v in (variances, rest))
        sigma = np.sqrt(sigmoid(gamma))
        of_components = sigma * scores * inside
        if layers := self.config["score_net"].get("coarse_layers"):
            coarse, condition = {"layers": layers, "layer_norm": True}, self.condition("coarse", gamma, label)
            velocity = self.net(scores * np.sqrt(inside), "coarse.net", coarse, condition)
            counted = 1 + self.sampling.get("coarse_autoguidance", 0)
            of_components += counted * velocity * np.sqrt(variances * sigmoid(-gamma) * inside)
        return spread(of_components) + (x - spread(scores)) * outside * sigma

    def gamma(self, t):  # -log of the signal-to-noise ratio at time t
        def raw(t):
            if "schedule.monotonic.linear_weight" not in self.p:
                return t
            a, b, c, d = (self.p["schedule.monotonic." + name] for name in
                          ("linear_weight", "hidden_weight", "output_weight", "hidden_bias"))
            return abs(a) * t + np.mean(abs(c) * (2 * sigmoid(abs(b) * (2 * t - 1) + d) - 1))
        return self.low + (self.high - self.low) * (raw(t) - raw(0)) / (raw(1) - raw(0))

    def condition(self, of, gamma, label):  # noise and class
        config = self.config["score_net"]
        k = np.arange(config["embedding_dim"] // 2)
        angles = 1000 * (gamma - self.low) / (self.high - self.low) * 10000 ** (-k / k[-1])
        condition = np.concatenate([np.sin(angles), np.cos(angles)])
        if self.config["classes"] > 0:
            condition = np.concatenate([condition, self.p[of + ".class_embedding"][label]])
        for i in (1, 2):
            condition = silu(self.dense(condition, f"{of}.condition_{i}"))
        return self.dense(condition, of + ".condition_3")

    def correction(self, name, gamma):
        below = self.sampling.get("corrected_below")
        return self.sampling.get(name, 0) if below is None or gamma < below else 0

    def epsilon(self, z, gamma, label=-1):  # the noise in z; the last label stands for "no class"
        config, condition = self.config["score_net"], self.condition("score_net", gamma, label)
        if self.grid is None:
            return z + self.net(z, "score_net.net", config, condition)
        alpha, sigma = np.sqrt(sigmoid(-gamma)), np.sqrt(sigmoid(gamma))
        tokens, start = z.reshape(self.grid.rows * self.grid.columns, -1), sigma * z
        x = tokens
        if config["gaussian_rank"] > 0:
            start = self.gaussian(z, gamma, label)
            x = np.concatenate([tokens, ((z - sigma * start) / (alpha + 0.1)).reshape(tokens.shape)], 1)
        velocity = self.dense(self.features(x, "score_net.net", config, condition), "score_net.net.output")
        return start + (1 + self.correction("autoguidance", gamma)) * alpha * velocity.ravel()

    def decode(self, f, noise=None):  # the mean image; with standard noise for grain, where there is grain, an image
        if self.grid is None:
            return sigmoid(self.net(f, "decoder.net", self.config["decoder"]))
        tokens = f.reshape(self.grid.rows * self.grid.columns, -1)
        h = self.dense(self.features(tokens, "decoder.net", self.config["decoder"]), "decoder.net.output")
        windows = tokens @ self.p["decoder.transform"] + 0.02 * h
        image = self.grid.overlap_add(windows) + self.p["decoder.mean"].reshape(self.grid.rows * self.grid.patch, -1)
        if noise is not None and self.config["grain"]:
            h = self.features(np.log(tokens**2 + 0.01), "decoder.grain.net", {"layers": 1, "heads": 0})
            ln_s = self.p["decoder.grain.start"] + self.dense(h, "decoder.grain.net.output")
            ln_s = np.clip(ln_s, -6.93, -0.69)
            contrast = self.sampling.get("grain_contrast", 0) * np.minimum(ln_s.mean(1, keepdims=True) + 4.848, 1)
            drawn = np.exp(ln_s + contrast) * noise[: ln_s.size].reshape(ln_s.shape)
            grain = self.grid.overlap_add(drawn @ self.grid.synthesis())
            if self.sampling.get("grain_structure"):  # stronger where the image has fine structure
                near, around = (self.grid.smooth((image - self.grid.smooth(image, 1 / 16)) ** 2, part) + 1e-7
                                for part in (1 / 8, 3 / 8))
                uneven = grain * np.sqrt(near / around / self.grid.smooth(near / around, 3 / 8))
                grain = uneven * np.sqrt((grain**2).sum() / (uneven**2).sum())
            if spread := self.sampling.get("grain_spread"):  # here stronger, there weaker
                down, across = self.grid.interpolation(self.grid.rows), self.grid.interpolation(self.grid.columns)
                n = down @ noise[ln_s.size :][: down.shape[1] * across.shape[1]].reshape(down.shape[1], -1) @ across.T
                grain *= np.exp(spread * n - spread**2)
            image = image + grain
        return np.clip(image, 0, 1).ravel()

    def sample(self, z, grain, steps=50):
        for i in range(steps, 0, -1):
            t, s = self.gamma(i / steps), self.gamma((i - 1) / steps)
            noise = self.epsilon(z, np.maximum(t - self.correction("gamma_offset", t), self.low))
            f = (z - np.sqrt(sigmoid(t)) * noise) / np.sqrt(sigmoid(-t))
            z = np.sqrt(sigmoid(-s)) * f + np.sqrt(sigmoid(s)) * noise
        return self.decode(z / np.sqrt(sigmoid(-s)), grain)


if __name__ == "__main__":
    model, seed = Model(sys.argv[1]), int((sys.argv + [0])[3])
    draw = np.random.default_rng(seed).normal
    pixels = model.config["height"] * model.config["width"]
    image = model.sample(draw(size=model.config["latent_dim"]), draw(size=2 * pixels))  # noise to spare for the grain
    image = np.rint(255 * image).astype(np.uint8).reshape(model.config["height"], model.config["width"])
    canvas = Image.new("L", (max(image.shape[1], 180), image.shape[0] + 12))  # the label stands below
    canvas.paste(Image.fromarray(image))
    ImageDraw.Draw(canvas).text((0, image.shape[0]), LABEL, 255)
    text = PngImagePlugin.PngInfo()
    text.add_itxt("Title", LABEL)
    text.add_itxt("Description", f"{LABEL}. Weights {sys.argv[1]}, seed {seed} of NumPy's generator, 50 steps of DDIM")
    canvas.save(sys.argv[2], pnginfo=text)
