//! Finds the images in a folder and leaves out what is none of them.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use walkdir::WalkDir;

use super::content::Content;
use super::entry::{Entry, Part, part_folder};
use super::remarks::Remarks;

/// Folders of systems and viewers that hold no images of the source.
const NOT_IMAGES: [&str; 10] = [
    "__macosx",
    "$recycle.bin",
    "recycler",
    "system volume information",
    "lost+found",
    "trash",
    "thumbnails",
    "thumbs",
    "@eadir",
    "#recycle",
];

/// Names of image files. DICOM files are found by their content too, and so are images whose names have no ending.
const ENDINGS: [&str; 11] = ["png", "jpg", "jpeg", "jpe", "jfif", "jif", "pjpeg", "pjp", "dcm", "dicom", "dic"];

/// Image files under a folder, in order of their paths.
///
/// # Errors
/// It is no folder or holds no image; a folder in it cannot be read, unless such are to be left out.
pub fn image_files(folder: &Path, skip_unreadable: bool, remarks: &mut Remarks) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        bail!(
            "{} is not a folder: a folder of PNG, JPEG or DICOM images, or a .csv manifest is accepted",
            folder.display()
        );
    }
    let mut files = Vec::new();
    let mut walk = WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter();
    while let Some(entry) = walk.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let name = within(error.path().unwrap_or(folder), folder);
                if error.path().is_some_and(Path::is_symlink) {
                    remarks.add("links lead nowhere or back to a folder above them, and are left out", name);
                } else if skip_unreadable && error.depth() > 0 {
                    remarks.add("folders cannot be read, and are left out", name);
                } else {
                    let hint = "pass --skip-unreadable to leave out what cannot be read";
                    return Err(anyhow!("{error}: {hint}").context(format!("cannot read {}", folder.display())));
                }
                continue;
            }
        };
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().to_lowercase());
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        let has_ending = ending.as_ref().is_some_and(|ending| ENDINGS.contains(&&**ending));
        if entry.depth() > 0 && (name.starts_with('.') || NOT_IMAGES.contains(&&*name)) {
            if entry.file_type().is_dir() {
                walk.skip_current_dir();
                remarks.add("hidden folders and folders of the system are left out", within(path, folder));
            } else if has_ending {
                remarks.add("hidden files are left out", within(path, folder));
            }
            continue;
        }
        if !entry.file_type().is_file() {
            continue;
        }
        if has_ending {
            files.push(entry.into_path());
            continue;
        }
        match Content::of(path) {
            Content::Dicom => files.push(entry.into_path()),
            Content::Png | Content::Jpeg if ending.is_none() => files.push(entry.into_path()),
            Content::Png | Content::Jpeg => {
                remarks.add("pictures are not named .png or .jpg, and are left out", within(path, folder));
            }
            Content::Other(what) => remarks.add(&format!("files are left out ({what})"), within(path, folder)),
            Content::Unknown => {}
        }
    }
    if files.is_empty() {
        remarks.print();
        bail!("{} holds no .png, .jpg, .jpeg or DICOM file", folder.display());
    }
    Ok(files)
}

/// A path below a folder, with slashes.
pub fn within(path: &Path, folder: &Path) -> String {
    path.strip_prefix(folder).unwrap_or(path).to_string_lossy().replace('\\', "/")
}

/// The images of a folder, with the parts that its folders name.
///
/// # Errors
/// As [`image_files`].
pub fn list(path: &Path, skip_unreadable: bool, remarks: &mut Remarks) -> Result<Vec<Entry>> {
    let mut all: Vec<Entry> = image_files(path, skip_unreadable, remarks)?
        .into_iter()
        .map(|file| {
            let name = within(&file, path);
            Entry { part: part_folder(&name).map(|(part, _)| part), path: file, name, ..Entry::default() }
        })
        .collect();
    // A folder named train divides the images only beside one for another part.
    let has = |part: Part| all.iter().any(|entry| entry.part == Some(part));
    let divided =
        has(Part::Train) && (has(Part::Validation) || has(Part::Test) || all.iter().all(|e| e.part.is_some()));
    for entry in &mut all {
        if !divided {
            entry.part = None;
        } else if entry.part.is_none() {
            remarks.add("images lie in no folder named train, val or test, and are trained on", &entry.name);
        }
    }
    Ok(all)
}
