use super::*;
use crate::base::interrupt::Interrupted;

const SIDE: usize = 16;

/// A folder of images beside an empty store.
struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    fn new(count: usize) -> Self {
        let scene = Self { folder: tempfile::tempdir().expect("a folder") };
        (0..count).for_each(|i| scene.draw(i));
        scene
    }

    fn image(&self, i: usize) -> PathBuf {
        self.folder.path().join(format!("{i}.png"))
    }

    fn draw(&self, i: usize) {
        let side = SIDE as u32;
        let pixel = |x: u32, y: u32| image::Luma([(x * 7 + y * 3 + 31 * i as u32) as u8]);
        image::GrayImage::from_fn(side, side, pixel).save(self.image(i)).expect("an image");
    }

    fn entries(&self, count: usize) -> Vec<Entry> {
        (0..count).map(|i| Entry { path: self.image(i), name: i.to_string(), ..Entry::default() }).collect()
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    fn prepare(&self, entries: &[Entry], skip_unreadable: bool) -> Result<(Dataset, Vec<Prepared>)> {
        let settings = SourceSettings { cache: Some(self.store()), skip_unreadable, ..SourceSettings::default() };
        prepare(entries, &settings, SIDE, SIDE, &Interrupt::default())
    }

    /// Prepares the first `count` images and checks that they are what their files hold.
    fn check(&self, count: usize) {
        let (data, prepared) = self.prepare(&self.entries(count), false).expect("images");
        assert_eq!((data.len(), prepared.len()), (count, count));
        for i in 0..count {
            let decoded = decode(&self.image(i), SIDE, SIDE, 16).expect("an image");
            assert_eq!(data.image(i), decoded.pixels, "image {i}");
        }
    }

    /// The store's files and how many images each holds.
    fn files(&self) -> Vec<(PathBuf, usize)> {
        let store = Store { folder: self.store(), height: SIDE, width: SIDE, bits: 16 };
        let rows = |path: &Path| table(&fs::read(path).expect("a file"), SIDE * SIDE).map_or(0, |table| table.len());
        store.files("", ".images").expect("a folder").into_iter().map(|path| (path.clone(), rows(&path))).collect()
    }

    fn counts(&self) -> Vec<usize> {
        let mut counts: Vec<usize> = self.files().into_iter().map(|(_, count)| count).collect();
        counts.sort_unstable();
        counts
    }
}

#[test]
fn one_more_image_adds_only_itself() {
    let scene = Scene::new(6);
    scene.check(5);
    scene.check(5);
    assert_eq!(scene.counts(), [5]);
    scene.check(6);
    assert_eq!(scene.counts(), [1, 5]);
    // Another data set of the same images adds nothing, in whatever order.
    let mut entries = scene.entries(6);
    entries.reverse();
    let (data, _) = scene.prepare(&entries, false).expect("images");
    assert_eq!(data.image(0), decode(&scene.image(5), SIDE, SIDE, 16).expect("an image").pixels);
    assert_eq!(scene.counts(), [1, 5]);
    // A changed image is prepared again, alone.
    image::GrayImage::from_pixel(20, 20, image::Luma([9])).save(scene.image(2)).expect("an image");
    scene.check(6);
    assert_eq!(scene.counts(), [1, 1, 5]);
}

#[test]
fn a_file_listed_twice_is_prepared_once() {
    let scene = Scene::new(2);
    let (data, _) = scene.prepare(&[scene.entries(2), scene.entries(2)].concat(), false).expect("images");
    assert_eq!((data.len(), scene.counts()), (4, vec![2]));
    assert_eq!(data.image(0), data.image(2));
}

#[test]
fn a_failure_is_tried_again() {
    let scene = Scene::new(4);
    let good = fs::read(scene.image(1)).expect("a file");
    let time = fs::metadata(scene.image(1)).and_then(|m| m.modified()).expect("a time");
    // Length and time stay, as when a disk fails to read.
    let set = |bytes: &[u8]| {
        fs::write(scene.image(1), bytes).expect("a file");
        OpenOptions::new().write(true).open(scene.image(1)).and_then(|f| f.set_modified(time)).expect("a time");
    };
    set(&vec![0; good.len()]);
    fs::remove_file(scene.image(2)).expect("a file");
    let refused = scene.prepare(&scene.entries(4), false).expect_err("two files cannot be read").to_string();
    assert!(refused.contains("1.png") && refused.contains("--skip-unreadable"), "{refused}");
    assert_eq!(scene.counts(), [2], "what could be read is kept");
    let (data, prepared) = scene.prepare(&scene.entries(4), true).expect("images");
    assert_eq!(
        (&data.names[..], prepared[1].is_err(), prepared[2].is_err()),
        (&["0", "3"].map(String::from)[..], true, true)
    );
    set(&good);
    scene.draw(2);
    scene.check(4);
    assert_eq!(scene.counts(), [2, 2]);
}

#[test]
fn those_that_prepare_at_once_share_the_work() {
    let scene = Scene::new(80);
    std::thread::scope(|scope| {
        (0..3).for_each(|_| {
            scope.spawn(|| scene.check(80));
        });
    });
    assert_eq!(scene.counts(), [80]);
}

#[test]
fn damaged_files_and_partial_ones_are_replaced() {
    let scene = Scene::new(5);
    scene.check(5);
    let [(path, _)] = &scene.files()[..] else { panic!("one file") };
    let bytes = fs::read(path).expect("a file");
    let mut changed = bytes.clone();
    changed[100] ^= 1;
    for bad in [changed, bytes[..bytes.len() / 2].to_vec(), Vec::new()] {
        fs::write(path, bad).expect("a file");
        fs::write(scene.store().join(format!("{PARTIAL}{SIDE}x{SIDE}-rest")), "x").expect("a file");
        scene.check(5);
        assert!(fs::read(path).expect("a file") == bytes, "it is made again, the same");
        assert_eq!(fs::read_dir(scene.store()).expect("a folder").count(), 2, "the file and the lock");
    }
}

#[test]
fn what_is_unused_for_long_is_removed() {
    let scene = Scene::new(4);
    scene.check(2);
    scene.prepare(&scene.entries(3)[2..], false).expect("images");
    assert_eq!(scene.counts(), [1, 2]);
    let long_ago = SystemTime::now() - Duration::from_secs((KEPT_DAYS + 1) * 24 * 3600);
    let age = |path: &Path| {
        let times = fs::FileTimes::new().set_accessed(long_ago).set_modified(long_ago);
        OpenOptions::new().write(true).open(path).and_then(|file| file.set_times(times)).expect("times");
    };
    scene.files().iter().for_each(|(path, _)| age(path));
    fs::write(scene.store().join("0123-4567.images"), "an earlier version's").expect("a file");
    age(&scene.store().join("0123-4567.images"));
    // The first two are used again, the third is not.
    scene.check(2);
    let entries = scene.entries(4);
    scene.prepare(&[entries[0].clone(), entries[3].clone()], false).expect("images");
    assert_eq!(scene.counts(), [1, 2]);
    let third = key(&scene.image(2), 16).expect("a key");
    let (store, mut found) = (Store { folder: scene.store(), height: SIDE, width: SIDE, bits: 16 }, Found::default());
    store.find(&HashSet::from([third.as_str()]), &mut found).expect("a store");
    assert!(found.rows.is_empty(), "the third is gone");
}

#[test]
fn a_file_system_without_locks_is_used_without() {
    let scene = Scene::new(1);
    scene.check(1);
    let store = Store { folder: scene.store(), height: SIDE, width: SIDE, bits: 16 };
    let none = |_: &File| Err(TryLockError::Error(ErrorKind::Unsupported.into()));
    assert!(store.lock(none).expect("no trouble").is_none());
    assert!(store.lock(File::try_lock).expect("no trouble").is_some());
}

#[test]
fn half_written_files_of_other_sizes_go_after_a_day() {
    let scene = Scene::new(2);
    scene.check(1);
    let [old, new] = ["old", "new"].map(|name| scene.store().join(format!("{PARTIAL}99x99-{name}")));
    [&old, &new].into_iter().for_each(|path| fs::write(path, "half").expect("a file"));
    let file = OpenOptions::new().write(true).open(&old).expect("a file");
    file.set_modified(SystemTime::now() - 2 * DAY).expect("a time");
    scene.check(2);
    assert!(!old.exists() && new.exists(), "another run may be writing the new one");
}

#[cfg(unix)]
#[test]
fn a_store_is_as_readable_as_the_users_other_files() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::new(1);
    scene.check(1);
    let mode = |path: &Path| fs::metadata(path).expect("a file").permissions().mode() & 0o777;
    let usual = mode(&scene.image(0));
    assert_eq!(scene.files().iter().map(|(path, _)| mode(path)).collect::<Vec<_>>(), [usual]);
}

/// More images than are in memory at once.
#[test]
fn an_interrupt_ends_the_preparation_and_keeps_what_is_done() {
    let scene = Scene::new(CHUNK + 1);
    let settings = SourceSettings { cache: Some(scene.store()), ..SourceSettings::default() };
    let interrupt = Interrupt::new(Some(Duration::ZERO));
    let error =
        prepare(&scene.entries(CHUNK + 1), &settings, SIDE, SIDE, &interrupt).map(drop).expect_err("interrupted");
    assert!(error.is::<Interrupted>(), "{error:#}");
    assert_eq!(scene.counts(), [CHUNK]);
    scene.check(CHUNK + 1);
}
