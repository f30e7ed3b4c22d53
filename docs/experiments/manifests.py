"""Writes fine.csv and coarse.csv, what the shipped weights were trained on, and held-out.csv and training.csv, what they were
measured with: docs/experiments/sharp.md.

Usage: manifests.py DATA OUT, where DATA has the folders cxr-normal-256, nih-256 and rsna-normal-128 and the table who.csv.
Left out of training are images that look like one of cxr-normal-256/validation, and every known patient who has an image there.
"""

import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ALIKE = 0.94  # correlation of two images at 32×32; another image of an unknown patient may be as alike

data, out = Path(sys.argv[1]).resolve(), Path(sys.argv[2])


def small(path):
    values = np.asarray(Image.open(path).convert("L").resize((32, 32), Image.BOX), np.float32).ravel()
    values -= values.mean()
    return values / (np.linalg.norm(values) or 1)


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


who = table(data / "who.csv")
patients = {row["path"]: int(row["patient"]) for row in who if row["patient"]}
views_and_sexes = {row["path"]: [row["view"], row["sex"]] for row in who}
for row in table(data / "nih-256/nih-findings.csv"):
    views_and_sexes[f"nih-256/images/{row['Image Index']}"] = [row["View Position"], row["Patient Gender"]]
labels = {}
for row in table(data / "nih-256/Data_Entry_2017.csv"):
    name = f"nih-256/images/{row['Image Index']}"
    patients[name] = int(row["Patient ID"])
    labels[name] = row["Finding Labels"]

folders = ["cxr-normal-256/train", "nih-256/images", "rsna-normal-128"]
training = [path.relative_to(data) for folder in folders for path in sorted((data / folder).glob("*.png"))]
held_out = [path.relative_to(data) for path in sorted((data / "cxr-normal-256/validation").glob("*.png"))]
held_out_patients = {patients[str(path)] for path in held_out if str(path) in patients}
held_out_small = np.stack([small(data / path) for path in held_out])

kept = []
for path in training:
    if patients.get(str(path)) in held_out_patients or (held_out_small @ small(data / path)).max() > ALIKE:
        continue
    kept.append(path)

out.mkdir(parents=True, exist_ok=True)
train = {name: [path for path in kept if str(path.parent) in there] for name, there in [("fine", folders[:2]), ("coarse", folders)]}
validation = [(path, "validation") for path in held_out[::4]]
for name, chosen in [
    ("fine", [(path, "train") for path in train["fine"]] + validation),
    ("coarse", [(path, "train") for path in train["coarse"]] + validation),
    ("training", [(path, "") for path in train["fine"]]),
    ("held-out", [(path, "") for path in held_out]),
]:
    with open(out / f"{name}.csv", "w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["path", "label", "view", "sex", "patient", "split"])
        for path, split in chosen:
            label = labels.get(str(path), "No Finding")
            rows.writerow([data / path, label, *views_and_sexes.get(str(path), ["", ""]), patients.get(str(path), ""), split])
    print(f"{name}.csv: {len(chosen)} images")
