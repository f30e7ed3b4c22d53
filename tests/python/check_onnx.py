"""Runs exported ONNX files in ONNX Runtime against the trainer's own numbers: check_onnx.py FOLDER REFERENCE.json

The reference is what `trainer export --reference-file` writes. Prints the largest differences as JSON.
"""

import json, pathlib, sys
import numpy as np
import onnx, onnxruntime

# float32 sums in another order; and the time embedding's sines, of arguments up to 1000, which the trainer computes
# in float64: rounding the argument to float32 moves it by up to 6e-5.
TOLERANCE = 1e-4


def main(folder, reference):
    folder, reference = pathlib.Path(folder), json.loads(pathlib.Path(reference).read_text())
    schedule = json.loads((folder / "schedule.json").read_text())
    differences = {}

    def check(name, found, expected):
        expected = np.array(expected, dtype=np.float32)
        assert found.shape == expected.shape, f"{name}: shape {found.shape} instead of {expected.shape}"
        difference = float(np.abs(found - expected).max() / np.abs(expected).max())
        assert difference < TOLERANCE, f"{name} differs by {difference} of its largest value"
        differences[name] = difference

    def run(file, **inputs):
        path = folder / file
        onnx.checker.check_model(str(path), full_check=True)
        metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
        assert metadata["notice"].startswith("SYNTHETIC - NOT FOR DIAGNOSIS"), metadata
        assert metadata["weights_sha256"] == schedule["weights_sha256"], metadata
        assert json.loads(metadata["provenance"]) == schedule["provenance"], metadata
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        assert {i.name for i in session.get_inputs()} == set(inputs), [i.name for i in session.get_inputs()]
        whole = session.run(names, inputs)
        first = session.run(names, {name: value[:1] for name, value in inputs.items()})
        for a, b in zip(whole, first):  # another size of the batch
            np.testing.assert_allclose(a[:1], b, rtol=1e-3, atol=1e-4 * np.abs(a).max())
        return dict(zip(names, whole))

    array = lambda values: np.array(values, dtype=np.float32)
    check("mean", run("decoder.onnx", f=array(reference["f"]))["mean"], reference["mean"])
    more = {"class": np.array(reference["class"], dtype=np.int64)} if "class" in reference else {}
    for file, about, band in zip(("score-net", "score-net-fine"), schedule["bands"], reference["bands"]):
        inputs = {"z": array(band["z"]), "gamma": array(band["gamma"]), **more}
        if "coarse" in band:
            told = np.full(len(band["coarse"]), schedule["context_gamma"], dtype=np.float32)
            inputs |= {"coarse": array(band["coarse"]), "coarse_gamma": told}
        check(f"epsilon of {file}", run(f"{file}.onnx", **inputs)["epsilon"], band["epsilon"])
        check("gamma", array(np.interp(reference["t"], schedule["t"], about["gamma"])), band["gamma"])
    if "encoded" in reference:
        check("encoded", run("encoder.onnx", x=array(reference["mean"]))["f"], reference["encoded"])
    print(json.dumps(differences))


if __name__ == "__main__":
    main(*sys.argv[1:])
