//! Samples as DICOM files: Secondary Capture images (PS3.3, A.8.1), marked as synthetic by every attribute that the
//! standard has for it.

use std::time::SystemTime;

use anyhow::{Context, Result};
use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use uuid::Uuid;
use vdm::image::{GreyImage, LABEL, Origin, synthetic_metadata};

/// This program as a DICOM implementation: a UUID, drawn once.
const IMPLEMENTATION_CLASS_UID: &str = "2.25.273984221025987262934288321877526846333";
/// At most 16 characters.
const IMPLEMENTATION_VERSION_NAME: &str = concat!("MEDVDM ", env!("CARGO_PKG_VERSION"));

const MANUFACTURER: &str = "Medical VDM";

/// Whether the words "synthetic" and "not for diagnosis" are visible in the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VisibleLabel {
    /// Yes.
    Yes,
    /// No: only the attributes say it.
    No,
}

/// Images that are drawn together: one study and one series, with new identifiers.
pub struct Series {
    study_uid: String,
    series_uid: String,
    /// YYYYMMDD and HHMMSS, in UTC.
    date: String,
    time: String,
}

impl Series {
    /// A new study of one series, dated now.
    pub fn new() -> Self {
        let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let digits: String = now.chars().filter(char::is_ascii_digit).collect();
        let (date, time) = digits.split_at(8);
        Self { study_uid: new_uid(), series_uid: new_uid(), date: date.to_owned(), time: time.to_owned() }
    }

    /// The bytes of a DICOM file of one image, the `number`-th of the series, from 1.
    ///
    /// # Errors
    /// An image of more than 65535 rows or columns.
    pub fn file(&self, number: usize, image: &GreyImage, origin: &Origin, label: VisibleLabel) -> Result<Vec<u8>> {
        let mut file = Dataset(InMemDicomObject::new_empty());
        file.text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192");
        self.identify(&mut file, number);
        self.mark_as_synthetic(&mut file, origin, label);
        put_pixels(&mut file, image)?;
        let meta = FileMetaTableBuilder::new()
            .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN)
            .implementation_class_uid(IMPLEMENTATION_CLASS_UID)
            .implementation_version_name(IMPLEMENTATION_VERSION_NAME);
        let object = file.0.with_meta(meta).context("cannot make a DICOM file")?;
        let mut bytes = Vec::new();
        object.write_all(&mut bytes).context("cannot make a DICOM file")?;
        Ok(bytes)
    }

    /// The modules Patient, General Study, General Series and the identifiers of the instance.
    fn identify(&self, file: &mut Dataset, number: usize) {
        file.text(tags::SOP_CLASS_UID, VR::UI, uids::SECONDARY_CAPTURE_IMAGE_STORAGE);
        file.text(tags::SOP_INSTANCE_UID, VR::UI, &new_uid());
        file.text(tags::TIMEZONE_OFFSET_FROM_UTC, VR::SH, "+0000");
        for tag in [tags::INSTANCE_CREATION_DATE, tags::STUDY_DATE, tags::SERIES_DATE, tags::CONTENT_DATE] {
            file.text(tag, VR::DA, &self.date);
        }
        for tag in [tags::INSTANCE_CREATION_TIME, tags::STUDY_TIME, tags::SERIES_TIME, tags::CONTENT_TIME] {
            file.text(tag, VR::TM, &self.time);
        }
        file.text(tags::PATIENT_NAME, VR::PN, "SYNTHETIC^NOT FOR DIAGNOSIS");
        file.text(tags::PATIENT_ID, VR::LO, "SYNTHETIC");
        file.text(tags::PATIENT_COMMENTS, VR::LT, "There is no patient: the image is synthetic.");
        for (tag, vr) in [
            (tags::PATIENT_BIRTH_DATE, VR::DA),
            (tags::PATIENT_SEX, VR::CS),
            (tags::REFERRING_PHYSICIAN_NAME, VR::PN),
            (tags::ACCESSION_NUMBER, VR::SH),
            (tags::PATIENT_ORIENTATION, VR::CS),
        ] {
            file.put(tag, vr, PrimitiveValue::Empty);
        }
        file.text(tags::STUDY_INSTANCE_UID, VR::UI, &self.study_uid);
        file.text(tags::STUDY_ID, VR::SH, "SYNTHETIC");
        file.text(tags::STUDY_DESCRIPTION, VR::LO, "Synthetic chest X-rays, not for diagnosis");
        file.text(tags::SERIES_INSTANCE_UID, VR::UI, &self.series_uid);
        file.text(tags::SERIES_NUMBER, VR::IS, "1");
        file.text(tags::SERIES_DESCRIPTION, VR::LO, LABEL);
        file.text(tags::MODALITY, VR::CS, "OT");
        // Without it, a validator asks for the side of the body.
        file.text(tags::BODY_PART_EXAMINED, VR::CS, "CHEST");
        file.text(tags::INSTANCE_NUMBER, VR::IS, &number.to_string());
    }

    /// The attributes that say that no patient was imaged, and how the image was made.
    fn mark_as_synthetic(&self, file: &mut Dataset, origin: &Origin, label: VisibleLabel) {
        file.text(tags::SYNTHETIC_DATA, VR::CS, "YES"); // SOP Common
        file.text(tags::CONVERSION_TYPE, VR::CS, "SYN"); // SC Equipment: synthetic image
        file.put(tags::IMAGE_TYPE, VR::CS, "DERIVED\\SECONDARY".into());
        let visible = if label == VisibleLabel::Yes { "YES" } else { "NO" };
        file.text(tags::BURNED_IN_ANNOTATION, VR::CS, visible);
        file.text(tags::RECOGNIZABLE_VISUAL_FEATURES, VR::CS, "NO");

        let settings = [("weights", &origin.weights), ("weights_sha256", &origin.weights_sha256)]
            .into_iter()
            .chain(origin.settings.iter().map(|(name, value)| (name.as_str(), value)));
        let settings: Vec<String> = settings.map(|(name, value)| format!("{name}={value}")).collect();
        file.text(tags::IMAGE_COMMENTS, VR::LT, &format!("{LABEL}\r\n{}", settings.join("\r\n")));
        let texts = synthetic_metadata(origin);
        let description = texts.iter().find(|(key, _)| key == "Description").map_or("", |(_, text)| text);
        file.text(tags::DERIVATION_DESCRIPTION, VR::ST, description);

        file.text(tags::SECONDARY_CAPTURE_DEVICE_MANUFACTURER, VR::LO, MANUFACTURER);
        file.text(tags::SECONDARY_CAPTURE_DEVICE_MANUFACTURER_MODEL_NAME, VR::LO, &origin.weights);
        file.text(tags::SECONDARY_CAPTURE_DEVICE_SOFTWARE_VERSIONS, VR::LO, &origin.software);
        file.text(tags::DATE_OF_SECONDARY_CAPTURE, VR::DA, &self.date);
        file.text(tags::TIME_OF_SECONDARY_CAPTURE, VR::TM, &self.time);

        let mut purpose = Dataset(InMemDicomObject::new_empty());
        purpose.text(tags::CODE_VALUE, VR::SH, "109102");
        purpose.text(tags::CODING_SCHEME_DESIGNATOR, VR::SH, "DCM");
        purpose.text(tags::CODE_MEANING, VR::LO, "Processing Equipment");
        let mut equipment = Dataset(InMemDicomObject::new_empty());
        equipment.sequence(tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE, purpose);
        equipment.text(tags::MANUFACTURER, VR::LO, MANUFACTURER);
        equipment.text(tags::MANUFACTURER_MODEL_NAME, VR::LO, &origin.weights);
        equipment.text(tags::SOFTWARE_VERSIONS, VR::LO, &origin.software);
        equipment.text(tags::CONTRIBUTION_DATE_TIME, VR::DT, &format!("{}{}+0000", self.date, self.time));
        equipment.text(tags::CONTRIBUTION_DESCRIPTION, VR::ST, "Drew the image by a generative model");
        file.sequence(tags::CONTRIBUTING_EQUIPMENT_SEQUENCE, equipment);
    }
}

/// The module Image Pixel, and the window that shows its values unchanged.
fn put_pixels(file: &mut Dataset, image: &GreyImage) -> Result<()> {
    let side = |side: usize| {
        u16::try_from(side).with_context(|| format!("an image of {side} rows or columns: DICOM has at most 65535"))
    };
    file.put(tags::ROWS, VR::US, side(image.height)?.into());
    file.put(tags::COLUMNS, VR::US, side(image.width)?.into());
    for (tag, value) in [
        (tags::SAMPLES_PER_PIXEL, 1u16),
        (tags::BITS_ALLOCATED, 8),
        (tags::BITS_STORED, 8),
        (tags::HIGH_BIT, 7),
        (tags::PIXEL_REPRESENTATION, 0),
    ] {
        file.put(tag, VR::US, value.into());
    }
    file.text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2");
    file.text(tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "00");
    // The identity for 8 bits (PS3.3, C.11.2.1.2), so that no viewer stretches the contrast.
    file.text(tags::WINDOW_CENTER, VR::DS, "128");
    file.text(tags::WINDOW_WIDTH, VR::DS, "256");
    let mut pixels = image.pixels.clone();
    if !pixels.len().is_multiple_of(2) {
        pixels.push(0);
    }
    file.put(tags::PIXEL_DATA, VR::OB, PrimitiveValue::from(pixels));
    Ok(())
}

struct Dataset(InMemDicomObject);

impl Dataset {
    fn put(&mut self, tag: Tag, vr: VR, value: PrimitiveValue) {
        self.0.put(DataElement::new(tag, vr, value));
    }

    /// One value, cut to the length that its representation allows, without characters that it forbids (PS3.5, 6.2).
    fn text(&mut self, tag: Tag, vr: VR, text: &str) {
        let max = match vr {
            VR::SH => 16,
            VR::ST => 1024,
            VR::LT => 10_240,
            _ => 64,
        };
        let lines = matches!(vr, VR::ST | VR::LT);
        let allowed = |c: char| match c {
            '\r' | '\n' => lines,
            '\\' => lines,
            _ => !c.is_control(),
        };
        let text: String = text.chars().map(|c| if allowed(c) { c } else { '_' }).take(max).collect();
        self.put(tag, vr, text.trim_end().into());
    }

    fn sequence(&mut self, tag: Tag, item: Dataset) {
        self.0.put(DataElement::new(tag, VR::SQ, DataSetSequence::from(vec![item.0])));
    }
}

/// A UUID as an identifier (PS3.5, B.2), random.
fn new_uid() -> String {
    format!("2.25.{}", Uuid::new_v4().as_u128())
}

#[cfg(test)]
mod tests {
    use dicom_object::{DefaultDicomObject, from_reader};
    use dicom_pixeldata::PixelDecoder;

    use super::*;

    fn origin() -> Origin {
        Origin {
            software: "a program 1".to_owned(),
            weights: "weights \\ of\nan odd name: é".to_owned(),
            weights_sha256: "ab".repeat(32),
            settings: vec![("seed".to_owned(), "7".to_owned()), ("sampler".to_owned(), "ddim".to_owned())],
        }
    }

    fn file(series: &Series, number: usize, image: &GreyImage, label: VisibleLabel) -> DefaultDicomObject {
        let bytes = series.file(number, image, &origin(), label).expect("a file");
        from_reader(bytes.as_slice()).expect("DICOM")
    }

    fn text(object: &InMemDicomObject, tag: Tag) -> String {
        object.element(tag).expect("an element").to_str().expect("text").into_owned()
    }

    #[test]
    fn the_pixels_come_back() {
        // An odd number of bytes, which DICOM pads.
        let image = GreyImage { width: 5, height: 3, pixels: (0..15).map(|i| i * 17).collect() };
        let object = file(&Series::new(), 1, &image, VisibleLabel::No);
        let decoded = object.decode_pixel_data().expect("pixels");
        assert_eq!((decoded.columns(), decoded.rows()), (5, 3));
        assert_eq!(decoded.data()[..15], image.pixels);
        assert_eq!(object.meta().transfer_syntax(), "1.2.840.10008.1.2.1");
        assert_eq!(object.meta().implementation_class_uid, IMPLEMENTATION_CLASS_UID);
        assert_eq!(object.meta().media_storage_sop_class_uid(), "1.2.840.10008.5.1.4.1.1.7");
        assert_eq!(object.meta().media_storage_sop_instance_uid(), text(&object, tags::SOP_INSTANCE_UID));
        assert!(IMPLEMENTATION_VERSION_NAME.len() <= 16);
    }

    #[test]
    fn it_says_that_it_is_synthetic_and_how_it_was_made() {
        let image = GreyImage::filled(4, 4, 9);
        let object = file(&Series::new(), 3, &image, VisibleLabel::Yes);
        for (tag, value) in [
            (Tag(0x0008, 0x001C), "YES"), // Synthetic Data
            (Tag(0x0008, 0x0008), "DERIVED\\SECONDARY"),
            (Tag(0x0008, 0x0060), "OT"),
            (Tag(0x0008, 0x0064), "SYN"),
            (Tag(0x0010, 0x0010), "SYNTHETIC^NOT FOR DIAGNOSIS"),
            (Tag(0x0020, 0x0013), "3"),
            (Tag(0x0028, 0x0004), "MONOCHROME2"),
            (Tag(0x0028, 0x0301), "YES"), // Burned In Annotation
        ] {
            assert_eq!(text(&object, tag), value, "{tag}");
        }
        let comments = text(&object, tags::IMAGE_COMMENTS);
        for words in [LABEL, "seed=7", "sampler=ddim", &format!("weights_sha256={}", "ab".repeat(32)), "é"] {
            assert!(comments.contains(words), "{comments}");
        }
        assert!(text(&object, tags::DERIVATION_DESCRIPTION).contains(&"ab".repeat(32)));
        let model = text(&object, tags::SECONDARY_CAPTURE_DEVICE_MANUFACTURER_MODEL_NAME);
        assert_eq!(model, "weights _ of_an odd name: é");
        let unlabelled = file(&Series::new(), 3, &image, VisibleLabel::No);
        assert_eq!(text(&unlabelled, tags::BURNED_IN_ANNOTATION), "NO");
    }

    #[test]
    fn identifiers_are_new_and_a_series_is_one_series() {
        let image = GreyImage::filled(4, 4, 9);
        let (series, other) = (Series::new(), Series::new());
        let files = [file(&series, 1, &image, VisibleLabel::No), file(&series, 2, &image, VisibleLabel::No)];
        let another = file(&other, 1, &image, VisibleLabel::No);
        let uid = |object: &InMemDicomObject, tag| text(object, tag);
        for tag in [tags::STUDY_INSTANCE_UID, tags::SERIES_INSTANCE_UID] {
            assert_eq!(uid(&files[0], tag), uid(&files[1], tag));
            assert_ne!(uid(&files[0], tag), uid(&another, tag));
            assert!(uid(&another, tag).starts_with("2.25.") && uid(&another, tag).len() <= 64);
        }
        assert_ne!(uid(&files[0], tags::SOP_INSTANCE_UID), uid(&files[1], tags::SOP_INSTANCE_UID));
        assert_eq!(
            files[0].element(tags::PIXEL_DATA).expect("pixels").to_bytes().expect("bytes"),
            another.element(tags::PIXEL_DATA).expect("pixels").to_bytes().expect("bytes")
        );
    }
}
