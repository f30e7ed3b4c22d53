#![no_main]

libfuzzer_sys::fuzz_target!(
    init: fuzz::seeds::write("dicom", fuzz::dicom::seeds),
    |bytes: &[u8]| fuzz::dicom::run(bytes)
);
