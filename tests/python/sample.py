"""Draws a synthetic chest X-ray from what `trainer export` wrote, by DDIM: python sample.py FOLDER OUT.png [SEED]"""

import json, pathlib, sys
import numpy as np
import onnxruntime
from PIL import Image, ImageDraw, PngImagePlugin

LABEL = "SYNTHETIC - NOT FOR DIAGNOSIS"
STEPS = 50
sigmoid = lambda x: 1 / (1 + np.exp(-x))
alpha, sigma = (lambda gamma: np.sqrt(sigmoid(-gamma))), (lambda gamma: np.sqrt(sigmoid(gamma)))


def main(folder, out, seed=0):
    folder = pathlib.Path(folder)
    about = json.loads((folder / "schedule.json").read_text())
    network = lambda name: onnxruntime.InferenceSession(folder / f"{name}.onnx", providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(int(seed))
    noisy = lambda f, gamma: alpha(gamma) * f + sigma(gamma) * rng.normal(size=f.shape)

    bands = []
    for name, band in zip(("score-net", "score-net-fine"), about["bands"]):
        score_net = network(name)
        gamma = lambda t: np.interp(t, about["t"], band["gamma"])
        inputs = {}
        if about["classes"] > 0:
            inputs["class"] = np.int64([about["classes"]])  # the label after the last class: no class
        if bands:  # the fine band is given the coarse one, with a little noise
            inputs["coarse"] = noisy(bands[0], about["context_gamma"]).astype(np.float32)
            inputs["coarse_gamma"] = np.float32([about["context_gamma"]])
        z = rng.normal(size=(1, band["dim"]))
        for i in range(STEPS, 0, -1):
            t, s = gamma(i / STEPS), gamma((i - 1) / STEPS)
            now = {"z": z.astype(np.float32), "gamma": np.float32([t])}
            noise = score_net.run(["epsilon"], now | inputs)[0]
            f = (z - sigma(t) * noise) / alpha(t)
            z = alpha(s) * f + sigma(s) * noise
        bands.append(f if len(about["bands"]) > 1 else z / alpha(gamma(0)))
    image = network("decoder").run(["mean"], {"f": np.concatenate(bands, 1).astype(np.float32)})[0]

    image = np.rint(255 * image).astype(np.uint8).reshape(about["height"], about["width"])
    canvas = Image.new("L", (max(image.shape[1], 180), image.shape[0] + 12))  # the label stands below
    canvas.paste(Image.fromarray(image))
    ImageDraw.Draw(canvas).text((0, image.shape[0]), LABEL, 255)
    text = PngImagePlugin.PngInfo()
    text.add_itxt("Title", LABEL)
    weights = about["weights_sha256"]
    text.add_itxt("Description", f"{LABEL}. Weights {weights}, seed {seed} of NumPy's generator, {STEPS} steps of DDIM")
    canvas.save(out, pnginfo=text)


if __name__ == "__main__":
    main(*sys.argv[1:])
