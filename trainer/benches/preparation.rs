//! Images a second of preparation, from PNG files of 1024×1024 to grey values of 256×256 as the trainer keeps them:
//! `cargo bench -p trainer --no-default-features --bench preparation`.

use std::path::Path;

use divan::Bencher;
use divan::counter::ItemsCount;

/// The program's own allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const FILES: usize = 32;
const FROM: u32 = 1024;
const TO: usize = 256;

fn main() {
    divan::main();
}

/// Files like X-rays: smooth, with a little noise that PNG cannot compress.
fn files(folder: &Path) {
    let mut random = 1u32;
    for number in 0..FILES {
        let image = image::GrayImage::from_fn(FROM, FROM, |x, y| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let wave = ((x + 31 * number as u32) as f64 / 97.0).sin() * (f64::from(y) / 131.0).cos();
            image::Luma([(128.0 + 100.0 * wave) as u8 + (random >> 29) as u8])
        });
        let path = folder.join(format!("{number:03}.png"));
        if let Err(error) = image.save(&path) {
            panic!("{}: {error}", path.display());
        }
    }
}

#[divan::bench(max_time = 20)]
fn decode_and_resize(bencher: Bencher<'_, '_>) {
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => panic!("no temporary folder: {error}"),
    };
    files(folder.path());
    let prepare = || match trainer::bench::prepare(folder.path(), TO, TO) {
        Ok(pixels) => pixels,
        Err(error) => panic!("{error:#}"),
    };
    bencher.counter(ItemsCount::new(FILES)).bench_local(prepare);
}
