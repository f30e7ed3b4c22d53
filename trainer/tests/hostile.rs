//! Files that were changed at random are read or refused, with bounded memory and time. A fuzzer runs the same bodies for
//! longer: docs/robustness.md.

#[path = "../../fuzz/src/bounds.rs"]
mod bounds;
#[path = "../../fuzz/src/dicom.rs"]
mod dicom;
#[path = "../../fuzz/src/manifest.rs"]
mod manifest;
#[path = "../../fuzz/src/mutations.rs"]
mod mutations;
#[path = "../../fuzz/src/place.rs"]
mod place;

#[test]
fn dicom_files() {
    mutations::each("dicom", dicom::seeds, 3000, dicom::run);
}

#[test]
fn manifests() {
    mutations::each("manifest", manifest::seeds, 3000, manifest::run);
}

/// A table of ten million empty cells, which lists images that are not there.
#[test]
fn a_large_table() {
    let _alone = mutations::alone();
    let columns = ",".repeat(2000);
    let row = |i: usize| format!("{i}.png{columns}\n");
    let names: String = (0..2000).map(|i| format!(",{i}")).collect();
    let table: String = std::iter::once(format!("path{names}\n")).chain((0..5000).map(row)).collect();
    manifest::run(table.as_bytes());
}
