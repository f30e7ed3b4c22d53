"""Writes the small DICOM files of the tests, and pydicom's own reading of them in expected.json.

    pip install pydicom numpy pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg
    python make_dicom.py        # needs dcmtk's dcmcrle, dcmcjpeg and dcmcjpls as well

Pictures are 16x12, and 40x32 in JPEG 2000. Expected greys: pydicom's apply_modality_lut and apply_voi_lut, scaled to [0, 1] by the range of the
output (the picture's own where the file has no window), inverted for MONOCHROME1 or a Presentation LUT Shape of INVERSE.
"""

import json
import subprocess
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)

HERE = Path(__file__).parent
ROWS, COLUMNS = 12, 16
DX = "1.2.840.10008.5.1.4.1.1.1.1"
SR = "1.2.840.10008.5.1.4.1.1.88.11"


def ramp(low, high, rows=ROWS, columns=COLUMNS):
    """A picture that rises from low to high along its diagonal, with some texture."""
    y, x = np.mgrid[:rows, :columns]
    t = (x / (columns - 1) + y / (rows - 1)) / 2
    t = np.clip(t + 0.05 * np.sin(1.7 * x) * np.cos(2.3 * y), 0, 1)
    return np.round(low + t * (high - low)).astype(np.int64)


def dataset(pixels, bits, signed=False, photometric="MONOCHROME2", allocated=None, modality="DX", **more):
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = DX, "1.2.826.0.1.3680043.8.498.1"
    ds.Modality = modality
    ds.PatientID = "P-17"
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = photometric
    ds.Rows, ds.Columns = pixels.shape[:2]
    allocated = allocated or (8 if bits <= 8 else 16)
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = allocated, bits, bits - 1
    ds.PixelRepresentation = int(signed)
    for name, value in more.items():
        setattr(ds, name, value)
    masked = pixels & ((1 << bits) - 1) if signed else pixels
    if signed:  # sign-extended, as scanners write it
        masked = pixels.astype(np.int16).view(np.uint16).astype(np.int64)
    ds.PixelData = masked.astype("<u1" if allocated == 8 else "<u2").tobytes()
    return ds


def save(name, ds, syntax=ExplicitVRLittleEndian):
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    if "PixelData" in ds:
        ds["PixelData"].VR = "OB" if ds.BitsAllocated == 8 and not implicit else "OW"
        if not little:
            ds.PixelData = np.frombuffer(ds.PixelData, "<u2").astype(">u2").tobytes()
    ds.save_as(HERE / f"{name}.dcm", implicit_vr=implicit, little_endian=little, enforce_file_format=True)


def lut(first, entries, bits, signed=False):
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if signed else "US", [len(entries) % 65536, first, bits])
    item.add_new("LUTData", "US", [int(v) for v in entries])
    return Sequence([item])


def expect(name):
    ds = dcmread(HERE / f"{name}.dcm")
    stored = ds.pixel_array
    values = apply_modality_lut(stored, ds).astype(np.float64)
    shown = np.ones(stored.shape, bool)
    if "PixelPaddingValue" in ds:
        shown = stored != ds.PixelPaddingValue
    if "VOILUTSequence" in ds:
        out = apply_voi_lut(apply_modality_lut(stored, ds), ds).astype(np.float64)
        low, high = 0, 2 ** ds.VOILUTSequence[0].LUTDescriptor[2] - 1
    elif "WindowWidth" in ds:
        out = apply_voi_lut(values, ds)
        # The ends of pydicom's output: what values far below and far above the window become.
        low, high = apply_voi_lut(np.array([-1e9, 1e9]), ds)
    else:
        out, low, high = values, values[shown].min(), values[shown].max()
    unit = np.clip((out - low) / (high - low), 0, 1)
    if ds.PhotometricInterpretation == "MONOCHROME1" or ds.get("PresentationLUTShape") == "INVERSE":
        unit = 1 - unit
    unit[~shown] = 0
    return {"width": int(ds.Columns), "height": int(ds.Rows), "grey": [round(float(v), 5) for v in unit.ravel()]}


def dcmtk(tool, *arguments):
    subprocess.run([tool, *map(str, arguments)], check=True)


def pictures():
    save("range-8", dataset(ramp(20, 230), 8))
    save(
        "mono1-12-window",
        dataset(
            ramp(100, 4000), 12, photometric="MONOCHROME1", WindowCenter=2000, WindowWidth=3000,
            PatientSex="F", PatientAge="058Y", ViewPosition="PA",
        ),
        ImplicitVRLittleEndian,
    )
    save(
        "signed-16-rescale",
        dataset(ramp(-1000, 900), 16, signed=True, RescaleSlope=2, RescaleIntercept=-24, RescaleType="US",
                WindowCenter=[-100.5, 40], WindowWidth=[1500, 400], PatientSex="M", PatientAge="018M"),
    )
    save("signed-12-range", dataset(ramp(-2000, 2000), 12, signed=True, PatientSex="O", PatientAge="010D"))
    save("sigmoid-10", dataset(ramp(0, 1023), 10, WindowCenter=500, WindowWidth=300, VOILUTFunction="SIGMOID",
                               PatientBirthDate="19601231", StudyDate="20200615"))
    save("exact-14", dataset(ramp(0, 16383), 14, WindowCenter=9000.25, WindowWidth=7000.5,
                             VOILUTFunction="LINEAR_EXACT"))
    curve = np.round(4095 * np.linspace(0, 1, 700) ** 0.6)
    save("voi-lut-10", dataset(ramp(0, 1023), 10, VOILUTSequence=lut(200, curve, 12), WindowCenter=1, WindowWidth=1))
    save("voi-lut-signed", dataset(ramp(-300, 300), 12, signed=True,
                                   VOILUTSequence=lut(-200, curve[:400], 12, signed=True)))
    save("modality-lut", dataset(ramp(0, 255), 8, ModalityLUTSequence=lut(10, np.arange(240) ** 2, 16),
                                 WindowCenter=20000, WindowWidth=30000))
    save("inverse", dataset(ramp(0, 4095), 12, PresentationLUTShape="INVERSE"))
    save("mono1-inverse", dataset(ramp(0, 4095), 12, photometric="MONOCHROME1", PresentationLUTShape="INVERSE"))
    padded = ramp(1000, 3000)
    padded[:, :3] = 0
    save("padding", dataset(padded, 12, photometric="MONOCHROME1", PixelPaddingValue=0))
    save("deflated", dataset(ramp(5, 4000), 12), DeflatedExplicitVRLittleEndian)
    save("big-endian", dataset(ramp(5, 4000), 12, WindowCenter=2000, WindowWidth=2500), ExplicitVRBigEndian)
    dcmtk("dcmcrle", HERE / "exact-14.dcm", HERE / "rle-14.dcm")
    dcmtk("dcmcrle", HERE / "range-8.dcm", HERE / "rle-8.dcm")
    dcmtk("dcmcjpeg", "+eb", "+q", 90, HERE / "range-8.dcm", HERE / "jpeg-8-lossy.dcm")
    dcmtk("dcmcjpeg", "+e1", HERE / "range-8.dcm", HERE / "jpeg-8-lossless.dcm")
    dcmtk("dcmcjpeg", "+e1", HERE / "mono1-12-window.dcm", HERE / "jpeg-12-lossless.dcm")
    dcmtk("dcmcjpeg", "+el", HERE / "exact-14.dcm", HERE / "jpeg-14-lossless-14.dcm")
    # OpenJPEG encodes its six resolutions from 32 pixels on.
    for name, ds in (
        ("j2k-8", dataset(ramp(20, 230, 32, 40), 8)),
        ("j2k-12-signed", dataset(ramp(-2000, 2000, 32, 40), 12, signed=True)),
        ("j2k-14", dataset(ramp(0, 16383, 32, 40), 14, WindowCenter=9000, WindowWidth=7000)),
    ):
        save(name, ds)
        ds = dcmread(HERE / f"{name}.dcm")
        ds.compress(JPEG2000Lossless, encoding_plugin="pylibjpeg", generate_instance_uid=False)
        ds.save_as(HERE / f"{name}.dcm")
    names = sorted(path.stem for path in HERE.glob("*.dcm"))
    (HERE / "expected.json").write_text(json.dumps({name: expect(name) for name in names}) + "\n")


def refused():
    dcmtk("dcmcjpls", HERE / "exact-14.dcm", HERE / "refused-jpegls.dcm")
    dcmtk("dcmcjpeg", "+ee", HERE / "mono1-12-window.dcm", HERE / "refused-jpeg-12-lossy.dcm")
    frames = dataset(ramp(0, 255), 8, NumberOfFrames=3)
    frames.PixelData *= 3
    save("refused-frames", frames)
    rgb = dataset(ramp(0, 255), 8, photometric="RGB", PlanarConfiguration=0)
    rgb.SamplesPerPixel, rgb.PixelData = 3, rgb.PixelData * 3
    save("refused-rgb", rgb)
    save("refused-palette", dataset(ramp(0, 255), 8, photometric="PALETTE COLOR"))
    huge = dataset(ramp(0, 255), 8)
    huge.Rows = huge.Columns = 50000
    save("refused-huge", huge)
    short = dataset(ramp(0, 255), 8)
    short.Rows = 9000
    save("refused-short", short)
    report = Dataset()
    report.SOPClassUID, report.SOPInstanceUID, report.Modality = SR, "1.2.826.0.1.3680043.8.498.2", "SR"
    report.PatientID, report.ValueType, report.TextValue = "P-17", "TEXT", "No finding."
    save("refused-report", report)
    whole = (HERE / "exact-14.dcm").read_bytes()
    (HERE / "refused-truncated.dcm").write_bytes(whole[:-100])
    # A codestream of another size than the file claims.
    other = dcmread(HERE / "j2k-8.dcm")
    other.Rows = other.Columns = 64
    other.save_as(HERE / "refused-j2k-size.dcm")
    other = dcmread(HERE / "jpeg-8-lossless.dcm")
    other.Columns = 8
    other.save_as(HERE / "refused-jpeg-size.dcm")
    # An RLE header that promises more segments than there are.
    rle = dcmread(HERE / "rle-14.dcm")
    rle.PixelData = encapsulate([b"\xff\xff\xff\xff" + bytes(60)])
    rle.save_as(HERE / "refused-rle-header.dcm")
    rle.PixelData = encapsulate([(2).to_bytes(4, "little") + b"\xf0\xff\xff\x00" * 15])
    rle.save_as(HERE / "refused-rle-offsets.dcm")


if __name__ == "__main__":
    for old in HERE.glob("*.dcm"):
        old.unlink()
    pictures()
    refused()
