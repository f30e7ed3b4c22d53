"""Draws a synthetic chest X-ray from a file of weights, by DDIM: python sample.py WEIGHTS OUT.png [SEED]"""

import json, sys
import numpy as np
from PIL import Image, ImageDraw, PngImagePlugin
from safetensors import safe_open

LABEL = "SYNTHETIC - NOT FOR DIAGNOSIS"
sigmoid = lambda x: 1 / (1 + np.exp(-x))
silu = lambda x: x * sigmoid(x)


class Model:
    def __init__(self, path):
        with safe_open(path, "numpy") as file:
            self.p = {name: file.get_tensor(name).astype(float) for name in file.keys()}
            self.config = json.loads(file.metadata()["medical-vdm"])["config"]
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

    def gamma(self, t):  # -log of the signal-to-noise ratio at time t
        def raw(t):
            if "schedule.monotonic.linear_weight" not in self.p:
                return t
            a, b, c, d = (self.p["schedule.monotonic." + name] for name in
                          ("linear_weight", "hidden_weight", "output_weight", "hidden_bias"))
            return abs(a) * t + np.mean(abs(c) * (2 * sigmoid(abs(b) * (2 * t - 1) + d) - 1))
        return self.low + (self.high - self.low) * (raw(t) - raw(0)) / (raw(1) - raw(0))

    def epsilon(self, z, gamma, label=-1):  # the noise in z; the last label stands for "no class"
        config = self.config["score_net"]
        k = np.arange(config["embedding_dim"] // 2)
        angles = 1000 * (gamma - self.low) / (self.high - self.low) * 10000 ** (-k / k[-1])
        condition = np.concatenate([np.sin(angles), np.cos(angles)])
        if self.config["classes"] > 0:
            condition = np.concatenate([condition, self.p["score_net.class_embedding"][label]])
        for i in (1, 2):
            condition = silu(self.dense(condition, f"score_net.condition_{i}"))
        condition = self.dense(condition, "score_net.condition_3")
        return z + self.net(z, "score_net.net", config, condition)

    def decode(self, f):  # the mean image
        return sigmoid(self.net(f, "decoder.net", self.config["decoder"]))

    def sample(self, z, steps=50):
        for i in range(steps, 0, -1):
            t, s = self.gamma(i / steps), self.gamma((i - 1) / steps)
            noise = self.epsilon(z, t)
            f = (z - np.sqrt(sigmoid(t)) * noise) / np.sqrt(sigmoid(-t))
            z = np.sqrt(sigmoid(-s)) * f + np.sqrt(sigmoid(s)) * noise
        return self.decode(z / np.sqrt(sigmoid(-s)))


if __name__ == "__main__":
    model, seed = Model(sys.argv[1]), int((sys.argv + [0])[3])
    image = model.sample(np.random.default_rng(seed).normal(size=model.config["latent_dim"]))
    image = np.rint(255 * image).astype(np.uint8).reshape(model.config["height"], model.config["width"])
    canvas = Image.new("L", (max(image.shape[1], 180), image.shape[0] + 12))  # the label stands below
    canvas.paste(Image.fromarray(image))
    ImageDraw.Draw(canvas).text((0, image.shape[0]), LABEL, 255)
    text = PngImagePlugin.PngInfo()
    text.add_itxt("Title", LABEL)
    text.add_itxt("Description", f"{LABEL}. Weights {sys.argv[1]}, seed {seed} of NumPy's generator, 50 steps of DDIM")
    canvas.save(sys.argv[2], pnginfo=text)
