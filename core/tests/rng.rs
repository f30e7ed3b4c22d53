//! The pinned noise: these values come from an independent implementation (ChaCha8 and Box–Muller written out in
//! Python) of the layout that `vdm::rng` documents. A seed names an image, so they never change.

use vdm::rng::{Rng, RngStream};

#[test]
fn uniforms_are_pinned() {
    let first = |seed, stream, index| {
        let mut stream = Rng::new(seed, stream, index);
        [stream.uniform(), stream.uniform(), stream.uniform()]
    };
    assert_eq!(first(0, RngStream::Prior, 0), [0.33115122244999495, 0.6366016949038487, 0.04957697084913393]);
    assert_eq!(first(1, RngStream::Prior, 0), [0.5733542465377757, 0.24045484422044738, 0.5926900882991238]);
    assert_eq!(first(u64::MAX, RngStream::Step, 41), [0.12799888493770595, 0.9518872523372236, 0.5419001038627018]);
    assert_eq!(first(42, RngStream::Training, 1 << 40), [0.7873338573049883, 0.4545593091717537, 0.2296216548633786]);
}

#[test]
fn normals_are_pinned_to_the_bit() {
    let bits = |seed, stream, index| {
        Rng::new(seed, stream, index).normals(9).into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    // Nine values: more than a block of the cipher.
    let pinned: [(u64, RngStream, u64, [u32; 9]); 4] = [
        (
            0,
            RngStream::Prior,
            0,
            [
                0xbf1618e4, 0xbf2dbef1, 0xbe907d6d, 0x3e181337, 0xbecba2f4, 0x3d14f3d3, 0x3f8a6471, 0x3f40ab1a,
                0x3fb216bf,
            ],
        ),
        (
            1,
            RngStream::Prior,
            0,
            [
                0x3da0384f, 0x3fa6c498, 0x3f98e656, 0x3f1b9afc, 0xbedd3fba, 0xc01db205, 0xbf22b023, 0x3f85e6a4,
                0x3f967d5b,
            ],
        ),
        (
            u64::MAX,
            RngStream::Step,
            41,
            [
                0x3effd200, 0xbe1f8f5e, 0xbf58d45f, 0xbf6b2d8c, 0xbeb06e9f, 0xbef2f607, 0xbfde5c4b, 0xbea099b3,
                0x3f6e758f,
            ],
        ),
        (
            42,
            RngStream::Training,
            1 << 40,
            [
                0xbfd81b43, 0x3efdbc93, 0xbe5117db, 0xbf315f27, 0x3f6c2a93, 0x3db50646, 0xbec74e66, 0x3fab29fd,
                0x3df64462,
            ],
        ),
    ];
    for (seed, stream, index, expected) in pinned {
        assert_eq!(bits(seed, stream, index), expected, "seed {seed}, {stream:?} {index}");
    }
}

#[test]
fn orders_are_pinned() {
    assert_eq!(Rng::new(7, RngStream::Order, 3).permutation(10), [4, 8, 9, 5, 3, 7, 6, 0, 1, 2]);
}

#[test]
fn the_numbers_of_the_streams_are_pinned() {
    let streams = [
        RngStream::Weights,
        RngStream::Prior,
        RngStream::Step,
        RngStream::Diffuse,
        RngStream::Pixels,
        RngStream::Training,
        RngStream::Order,
        RngStream::Evaluation,
        RngStream::Phantom,
        RngStream::Augmentation,
        RngStream::Context,
        RngStream::Crop,
        RngStream::TrainingNoise,
        RngStream::TrainingStart,
    ];
    assert!(streams.iter().enumerate().all(|(i, &stream)| stream as usize == i));
}
