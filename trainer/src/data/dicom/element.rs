//! Elements in Explicit VR Little Endian (PS3.5, 7.1.2).

use dicom_core::{Tag, VR};

/// Whether an explicit element of this kind has four bytes of length.
pub(super) fn is_long(vr: VR) -> bool {
    use VR::{OB, OD, OF, OL, OV, OW, SQ, SV, UC, UN, UR, UT, UV};
    matches!(vr, OB | OD | OF | OL | OV | OW | SQ | SV | UC | UN | UR | UT | UV)
}

/// Bytes of each number of a kind; 1 for text.
pub(super) fn number_size(vr: VR) -> usize {
    match vr {
        VR::US | VR::SS | VR::OW | VR::AT => 2,
        VR::UL | VR::SL | VR::FL | VR::OF | VR::OL => 4,
        VR::FD | VR::OD | VR::OV | VR::SV | VR::UV => 8,
        _ => 1,
    }
}

/// An element's header in Explicit VR Little Endian.
pub(super) fn header(tag: Tag, vr: VR, length: u32) -> Vec<u8> {
    let mut bytes = [tag.group().to_le_bytes(), tag.element().to_le_bytes()].concat();
    if tag.group() == 0xfffe {
        bytes.extend(length.to_le_bytes());
        return bytes;
    }
    bytes.extend(vr.to_bytes());
    if is_long(vr) {
        bytes.extend([0, 0]);
        bytes.extend(length.to_le_bytes());
    } else {
        bytes.extend((length as u16).to_le_bytes());
    }
    bytes
}

/// Adds an element with its value, which is padded to an even length.
pub(super) fn put(out: &mut Vec<u8>, tag: Tag, vr: VR, mut value: Vec<u8>) {
    // A long value without a kind of its own, such as a table's data in an implicit data set.
    let vr = if is_long(vr) || value.len() < 0xffff { vr } else { VR::OW };
    if value.len() % 2 == 1 {
        value.push(if matches!(vr, VR::OB | VR::OW | VR::UN | VR::UI) { 0 } else { b' ' });
    }
    out.extend(header(tag, vr, value.len() as u32));
    out.extend(value);
}
