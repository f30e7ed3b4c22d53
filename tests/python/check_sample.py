"""Checks sample.py against the trainer's own numbers: check_sample.py WEIGHTS REFERENCE.json

The reference is what `trainer export --reference-file` writes. Prints the largest differences as JSON.
"""

import json, pathlib, sys
import numpy as np
from sample import Model

# The trainer computes in float32, and this in float64, from the same numbers.
TOLERANCE = 1e-3


def main(weights, reference):
    model, reference = Model(weights), json.loads(pathlib.Path(reference).read_text())
    differences = {}

    def check(name, found):
        found, expected = np.array(found), np.array(reference[name])
        assert found.shape == expected.shape, f"{name}: shape {found.shape} instead of {expected.shape}"
        differences[name] = float(np.abs(found - expected).max() / np.abs(expected).max())
        assert differences[name] < TOLERANCE, f"{name} differs by {differences[name]} of its largest value"

    gamma = [model.gamma(t).item() for t in reference["t"]]
    labels = reference.get("class", [-1] * len(gamma))
    check("gamma", gamma)
    check("epsilon", [model.epsilon(np.array(z), g, label) for z, g, label in zip(reference["z"], gamma, labels)])
    check("mean", [model.decode(np.array(f)) for f in reference["f"]])
    if "image" in reference:
        check("image", [model.decode(np.array(f), np.array(n)) for f, n in zip(reference["f"], reference["noise"])])
    print(json.dumps(differences))


if __name__ == "__main__":
    main(*sys.argv[1:])
