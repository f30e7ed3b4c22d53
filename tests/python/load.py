"""Reads weights with safetensors and NumPy, and decodes the latent 0: python load.py WEIGHTS OUT.png"""
import json
import sys

import numpy as np
from PIL import Image, ImageDraw
from safetensors import safe_open

with safe_open(sys.argv[1], framework="numpy") as file:
    about = json.loads(file.metadata()["medical-vdm"])
    weights = {name: file.get_tensor(name).astype(np.float64) for name in file.keys()}
for name in [name for name in weights if name.endswith(".scale")]:  # of the columns of a matrix of bytes
    weights[name.removesuffix(".scale")] *= weights.pop(name)
config = about["config"]
latent = config.get("latent", {**config, "dim": config.get("latent_dim")})
assert latent, "a model of bands has no decoder network: `trainer export` and sample.py draw from it"
config = latent | {key: config[key] for key in ("height", "width")}

def dense(name, x):
    return x @ weights[f"{name}.weight"] + weights[f"{name}.bias"]

def silu(x):
    return x / (1 + np.exp(-x))

h = dense("decoder.net.input", np.zeros((1, config["dim"])))
for i in range(config["decoder"]["layers"]):
    block = f"decoder.net.blocks.{i}"
    h = h + dense(f"{block}.dense_2", silu(dense(f"{block}.dense_1", silu(h))))
mean = 1 / (1 + np.exp(-dense("decoder.net.output", h)))  # of each pixel's Bernoulli
image = Image.fromarray(np.rint(255 * mean.reshape(config["height"], config["width"])).astype(np.uint8))
ImageDraw.Draw(image).text((2, 2), "SYNTHETIC - NOT FOR DIAGNOSIS", fill=255)
image.save(sys.argv[2])
print(about["provenance"]["name"], f"{mean.mean():.6f}")
