"""Reads DICOM files by pydicom, and compares their pixels with those of PNG files: check_dicom.py A.dcm A.png ..."""

import sys
import numpy as np
import pydicom
from PIL import Image

# What the Secondary Capture IOD asks for by types 1 and 2 (PS3.3, A.8.1), by keyword.
MUST_HAVE_A_VALUE = """SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID Modality ConversionType ImageType
SamplesPerPixel PhotometricInterpretation Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation PixelData
PatientName PatientID StudyDate StudyTime InstanceNumber SpecificCharacterSet SeriesNumber StudyID""".split()
MUST_BE_THERE = "PatientBirthDate PatientSex ReferringPhysicianName AccessionNumber PatientOrientation".split()


def main(*paths):
    identifiers, series = set(), set()
    for dicom, png in zip(paths[::2], paths[1::2]):
        pydicom.config.settings.reading_validation_mode = pydicom.config.RAISE
        file = pydicom.dcmread(dicom)
        pixels = np.asarray(Image.open(png))
        assert np.array_equal(file.pixel_array, pixels), f"{dicom} and {png} have different pixels"
        for keyword in MUST_HAVE_A_VALUE:
            assert file.get(keyword) not in (None, ""), f"{dicom}: {keyword} is missing"
        for keyword in MUST_BE_THERE:
            assert keyword in file, f"{dicom}: {keyword} is missing"
        assert file.SyntheticData == "YES" and file.BurnedInAnnotation == "YES", file
        assert file.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
        assert file.SOPClassUID == pydicom.uid.SecondaryCaptureImageStorage
        assert Image.open(png).text["Description"] == file.DerivationDescription, file.DerivationDescription
        identifiers.add(file.SOPInstanceUID)
        series.add((file.StudyInstanceUID, file.SeriesInstanceUID))
    assert len(identifiers) == len(paths) // 2 and len(series) == 1, (identifiers, series)
    print(f"{len(identifiers)} files agree")


if __name__ == "__main__":
    main(*sys.argv[1:])
