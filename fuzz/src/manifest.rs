//! Tables that list images: manifests and NIH's.
//!
//! An input is a manifest; where it starts with `N`, NIH's table; where it starts with `T`, NIH's list of test images.

use trainer::untrusted;

use crate::bounds::bounded;
use crate::place::{path, put};

/// A grey pixel.
const PNG: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0\x3a\x7e\x9b\x55\0\0\0\nIDATx\x9cc`\0\0\0\x02\
                     \0\x01\x48\xaf\xa4\x71\0\0\0\0IEND\xaeB`\x82";
const NIH: &str = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position\n\
                   00000001_000.png,Cardiomegaly|Emphysema,0,1,058Y,M,PA\n00000002_000.png,No Finding,0,2,81,F,AP\n";
const TESTED: &str = "images/00000002_000.png\n";

/// Lists the images of a table, or refuses it.
pub fn run(input: &[u8]) {
    for image in ["a.png", "b/patient1/c.png", "nih/00000001_000.png", "nih/00000002_000.png"] {
        if !path(image).exists() {
            put(image, PNG);
        }
    }
    let source = match input {
        [b'N', table @ ..] => {
            put("nih/Data_Entry_2017.csv", table);
            put("nih/test_list.txt", TESTED.as_bytes());
            path("nih")
        }
        [b'T', list @ ..] => {
            put("nih/Data_Entry_2017.csv", NIH.as_bytes());
            put("nih/test_list.txt", list);
            path("nih")
        }
        manifest => put("list.csv", manifest),
    };
    drop(bounded(input.len(), |_| 0, || untrusted::list(&source)));
}

/// Tables as people have them.
pub fn seeds() -> Vec<Vec<u8>> {
    let plain = "path,label,patient,split,view,age,sex\na.png,\"left, up\",p1,train,PA,058Y,M\nb/patient1/c.png,x|y,,test,LL,3,F\n";
    let wide: Vec<u8> = format!("\u{feff}{plain}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut seeds = vec![wide, format!("N{NIH}").into_bytes(), format!("T{TESTED}").into_bytes()];
    for table in [
        plain.to_owned(),
        format!("sep=;\r\n{}", plain.replace(',', ";").replace('\n', "\r\n")),
        plain.replace(',', "\t").replace('\n', "\r"),
        "Path,Sex,Age,Frontal/Lateral,AP/PA\nb/patient1/c.png,Female,68.0,Frontal,AP\n".to_owned(),
        "path\n\"a.png\n\"\n".to_owned(),
        "path\nb\\patient1\\c.png\n,\n\n".to_owned(),
        "path\n\u{fc}.png\n../a.png\n".to_owned(),
    ] {
        seeds.push(table.into_bytes());
    }
    seeds
}
