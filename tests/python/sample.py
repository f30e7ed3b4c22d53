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
    score_net, decoder = network("score-net"), network("decoder")
    rng = np.random.default_rng(int(seed))
    normal = lambda size: rng.normal(size=(1, size))
    gamma = lambda t: np.interp(t, about["t"], about["gamma"])

    def noise_in(z, gamma):
        below = about["corrected_below"]
        offset = about["gamma_offset"] if below is None or gamma < below else 0
        inputs = {"z": z.astype(np.float32), "gamma": np.float32([max(gamma - offset, about["gamma_min"])])}
        if about["classes"] > 0:
            inputs["class"] = np.int64([about["classes"]])  # the label after the last class: no class
        return score_net.run(["epsilon"], inputs)[0]

    z = normal(about["latent_dim"])
    for i in range(STEPS, 0, -1):
        t, s = gamma(i / STEPS), gamma((i - 1) / STEPS)
        noise = noise_in(z, t)
        f = (z - sigma(t) * noise) / alpha(t)
        z = alpha(s) * f + sigma(s) * noise
    inputs = {"f": (z / alpha(gamma(0))).astype(np.float32)}
    for grain in decoder.get_inputs()[1:]:
        inputs[grain.name] = normal(grain.shape[1]).astype(np.float32)
    image = decoder.run(None, inputs)[-1]  # the image, or where the decoder has none, its mean

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
