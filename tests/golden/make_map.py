#!/usr/bin/env python3
"""The map of the story: its axes, as constants of web/src/map.rs, and the picture that lies below it.

    trainer sample web/weights/sharp.safetensors --count 600 --steps 20 --seed 1000 --no-visible-label --out drawn
    python3 make_map.py drawn ../../web/static/map.jpg      # needs numpy and Pillow
"""
import glob
import sys

import numpy as np
from PIL import Image, ImageDraw

# As web/src/map.rs has them.
SIDE, ACROSS, DOWN = 8, 10, 6
# Pixels of a picture on the map, and what its side stands for, in grey levels of all blocks.
TILE, UNIT = 48, 85.0

drawn, out = sys.argv[1:]
pictures = [Image.open(path).convert("L") for path in sorted(glob.glob(f"{drawn}/*.png"))]
blocks = np.array([np.asarray(p.resize((SIDE, SIDE), Image.BOX), float).ravel() for p in pictures])
mean = blocks.mean(0)
axes = np.linalg.svd(blocks - mean, full_matrices=False)[2][:2]
# To the right what is brighter, down what is brighter below than above.
axes[0] *= np.sign(axes[0].sum())
axes[1] *= np.sign(axes[1, 32:].sum() - axes[1, :32].sum())
largest = abs(axes).max(1, keepdims=True)
whole = np.round(axes / largest * 127)
per_grey = 1 / (np.linalg.norm(whole, axis=1) * UNIT)
middle = whole @ mean * per_grey
for axis, scale, at in zip(whole.astype(int), per_grey, middle):
    print("    Component {\n        weights: [")
    for row in axis.reshape(SIDE, SIDE):
        print("            " + " ".join(f"{v}," for v in row))
    print(f"        ],\n        scale: {scale:.4e},\n        mean: {at:.4f},\n    }},")
places = (blocks @ whole.T) * per_grey - middle + [ACROSS / 2, DOWN / 2]

sheet = Image.new("L", (ACROSS * TILE, DOWN * TILE), 6)
for x in range(ACROSS):
    for y in range(DOWN):
        far = abs(places - [x + 0.5, y + 0.5]).max(1)
        if far.min() < 0.5:
            tile = pictures[far.argmin()].resize((TILE, TILE), Image.LANCZOS)
            sheet.paste(tile, (x * TILE, y * TILE))
# In the corner, where nothing lies.
ImageDraw.Draw(sheet).text((4, DOWN * TILE - 14), "SYNTHETIC", fill=255)
sheet.save(out, quality=82, optimize=True, comment="Synthetic chest X-rays, not for diagnosis")
