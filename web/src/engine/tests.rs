use std::cell::{Cell, RefCell};

use burn_flex::{Flex, FlexDevice};
use pollster::block_on;
use vdm::config::{Preset, SamplingConfig, Stage};
use vdm::image::{GreyImage, LABEL, Origin, read_png};
use vdm::model::Networks;
use vdm::rng::RngStream;
use vdm::sampler::Sampler;
use vdm::weights::{Precision, Provenance, save, save_encoder, sha256_hex};
use vdm::{cost, elbo};

use super::run::PreviewPace;
use super::*;
use crate::protocol::{Film, Moment, Outcome, Picture, Problem, Run, Save, Start, Subject, Task, Verdict};
use crate::settings::Settings;

/// An engine with its encoder.
fn engine() -> Engine<Flex> {
    let config = Preset::Quick.model();
    let networks = Networks::<Flex>::new(&config, 1, &FlexDevice).expect("networks");
    let bytes =
        save(&networks, &config, &SamplingConfig::default(), &Provenance::default(), Precision::F16).expect("bytes");
    let hash = sha256_hex(&bytes);
    let encoder = networks.encoder.expect("an encoder");
    let encoder = save_encoder(&encoder, &config, &Provenance::default(), &hash, Precision::F16).expect("bytes");
    let engine = block_on(Engine::load(&bytes, FlexDevice)).expect("loads");
    engine.load_encoder(&encoder, &hash).expect("loads");
    engine
}

/// A clock that advances by 1 ms at each reading, and a stop after some steps.
struct TestHost {
    clock_ms: Cell<f64>,
    stop_after: usize,
    steps: RefCell<Vec<u32>>,
    shown: Cell<usize>,
    noisy: Cell<usize>,
}

impl TestHost {
    fn new(stop_after: usize) -> Self {
        let (steps, shown, noisy) = (RefCell::default(), Cell::new(0), Cell::new(0));
        Self { clock_ms: Cell::new(0.0), stop_after, steps, shown, noisy }
    }

    fn patient() -> Self {
        Self::new(usize::MAX)
    }
}

impl Host for TestHost {
    fn elapsed_ms(&self) -> f64 {
        self.clock_ms.replace(self.clock_ms.get() + 1.0)
    }

    fn on_step(&self, taken: StepTaken) {
        self.steps.borrow_mut().push(taken.step);
        self.shown.set(self.shown.get() + taken.pictures.len());
        self.noisy.set(self.noisy.get() + usize::from(taken.noisy.is_some()));
    }

    async fn should_continue(&self) -> bool {
        self.steps.borrow().len() < self.stop_after
    }
}

fn settings(seed: u64, steps: u32) -> Settings {
    Settings { seed, steps, ..Settings::default() }
}

fn perform(engine: &Engine<Flex>, task: &Task) -> Outcome {
    match block_on(engine.perform(task, &TestHost::patient())) {
        Ok(outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

fn pictures(engine: &Engine<Flex>, run: &Run) -> Vec<Picture> {
    match perform(engine, &Task::Run(run.clone())) {
        Outcome::Pictures(pictures) => pictures,
        other => panic!("{other:?}"),
    }
}

fn look(engine: &Engine<Flex>, run: &Run, image: u32, index: u32) -> Moment {
    match perform(engine, &Task::Moment { run: run.clone(), image, index }) {
        Outcome::Moment(moment) => moment,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_model_of_bands_warms_up_and_draws() {
    let mut config = Preset::Sharp.model();
    (config.height, config.width) = (64, 64);
    let bands = config.bands.as_mut().expect("bands");
    for band in [&mut bands.coarse, &mut bands.fine] {
        (band.width, band.layers, band.embedding_dim) = (16, 1, 8);
    }
    let networks = Networks::<Flex>::new(&config, 1, &FlexDevice).expect("networks");
    let bytes =
        save(&networks, &config, &SamplingConfig::default(), &Provenance::default(), Precision::F16).expect("bytes");
    let engine = || block_on(Engine::load(&bytes, FlexDevice)).expect("loads");
    assert_eq!(block_on(engine().warm_up()).expect("warms up").len(), 1);
    let run = Run::from_noise(settings(7, 4), 3);
    assert!(!engine().can_share(&run));

    let (alone, other) = (engine().with_images_apart(), engine().with_images_apart());
    let all = pictures(&alone, &run);
    assert!(alone.can_share(&run) && !alone.can_share(&run.part(0..1)) && all[0] != all[1]);
    let shared = [pictures(&alone, &run.part(0..1)), pictures(&other, &run.part(1..3))].concat();
    assert!(shared == all, "whoever draws an image, it is the same");
    let (of_all, of_part) = (look(&alone, &run, 2, 3), look(&other, &run.part(1..3), 1, 3));
    assert!(of_all == of_part && look(&alone, &run, 2, 4).predicted == all[2]);
    assert_eq!(run.part(1..3), Run::from_noise(settings(8, 4), 2));
    // A batch may sum in another order.
    let batch = pictures(&engine(), &run);
    assert!(all.iter().zip(&batch).all(|(a, b)| a.rms_difference(b).is_some_and(|rms| rms < 0.5)));
}

#[test]
fn every_sampler_ends_in_one_image_a_seed() {
    let engine = engine();
    block_on(engine.warm_up()).expect("warms up");
    for &sampler in Sampler::ALL {
        let run = Run::from_noise(Settings { sampler, ..settings(7, 5) }, 2);
        let host = TestHost::patient();
        let ending = block_on(engine.perform(&Task::Run(run.clone()), &host));
        let Ok(Outcome::Pictures(made)) = ending else { panic!("{ending:?}") };
        assert_eq!(*host.steps.borrow(), [1, 2, 3, 4, 5]);
        assert_eq!((host.shown.get(), host.noisy.get()), (10, 0), "cheap pictures are shown at each step");
        assert!(made.iter().all(|p| (p.width, p.height, p.pixels.len()) == (64, 64, 64 * 64)));
        assert_eq!(pictures(&engine, &run), made, "a seed is an image");
        let alone = pictures(&engine, &Run::from_noise(Settings { sampler, ..settings(8, 5) }, 1));
        // Another batch size may sum in another order.
        assert!(alone[0].rms_difference(&made[1]).is_some_and(|rms| rms < 0.5), "independent of the rest of the batch");
    }
}

#[test]
fn a_single_image_is_shown_with_its_latent() {
    let host = TestHost::patient();
    let run = Run::from_noise(settings(1, 4), 1);
    block_on(engine().perform(&Task::Run(run), &host)).expect("done");
    assert_eq!((host.shown.get(), host.noisy.get()), (4, 4));
}

#[test]
fn a_job_ends_at_the_step_that_it_is_cancelled_at() {
    let task = Task::Run(Run::from_noise(settings(0, 1000), 1));
    assert_eq!(block_on(engine().perform(&task, &TestHost::new(3))), Err(Halt::Stopped { step: 3 }));
}

#[test]
fn any_moment_of_a_run_can_be_looked_at_by_any_worker() {
    // The other one has no recording of the run.
    let (other, engine) = (engine(), engine());
    let run = Run::from_noise(settings(3, 40), 4);
    let made = pictures(&engine, &run);
    for (image, picture) in made.iter().enumerate() {
        let end = look(&engine, &run, image as u32, 40);
        assert_eq!((&end.predicted, &end.noisy, end.t), (picture, picture, 0.0), "it ends in the image");
    }
    let start = look(&engine, &run, 1, 0);
    let noise = vdm::rng::Rng::new(4, RngStream::Prior, 0).normals(engine.model.config.latent_dim());
    let recording = engine.recording.borrow().clone().expect("a recording");
    assert_eq!((recording.latent(1, 0), start.t), (&noise[..], 1.0), "it starts from the seed's noise");
    let middle = look(&engine, &run, 2, 17);
    let schedule = engine.schedule();
    assert_eq!(middle.t, Sampler::default().times(schedule, 1.0, 40)[17]);
    assert_ne!(middle.noisy, middle.predicted);
    assert_eq!(look(&other, &run, 2, 17), middle);
    for (image, index) in [(4, 0), (0, 41)] {
        let task = Task::Moment { run: run.clone(), image, index };
        let ending = block_on(engine.perform(&task, &TestHost::patient()));
        assert!(matches!(ending, Err(Halt::Problem(Problem::Settings { .. }))), "{ending:?}");
    }
}

#[test]
fn a_subject_is_noised_and_comes_back() {
    let engine = engine();
    let sample = Subject::Sample(settings(5, 10));
    let made = pictures(&engine, &Run::from_noise(settings(5, 10), 1)).remove(0);
    let at = |subject: &Subject, t| match perform(&engine, &Task::Diffuse { subject: subject.clone(), t, seed: 1 }) {
        Outcome::Diffused(diffused) => diffused,
        other => panic!("{other:?}"),
    };
    let early = at(&sample, 0.0);
    assert_eq!(early.clean, made, "the clean latent of a sample is where it ends");
    assert_eq!(at(&sample, 1.0).clean, made);
    assert_ne!(at(&sample, 1.0).noisy, early.noisy);
    // A user's picture goes through the encoder.
    let image = Subject::Image { name: "own.png".into(), picture: made.clone() };
    assert_eq!(at(&image, 0.3).noisy.pixels.len(), 64 * 64);
    // From t = 0.5 it takes half of the steps.
    let start = Start::Subject { subject: image, t: 0.5 };
    let run = Run { start, seeds: vec![1, 2], settings: settings(1, 10) };
    let host = TestHost::patient();
    block_on(engine.perform(&Task::Run(run.clone()), &host)).expect("done");
    assert_eq!((host.steps.borrow().len(), run.steps()), (5, 5));
}

#[test]
fn a_run_between_two_seeds_ends_at_their_own_images() {
    let engine = engine();
    let between = Run { start: Start::Between { to: 9, frames: 5 }, seeds: vec![2], settings: settings(2, 6) };
    let made = pictures(&engine, &between);
    assert_eq!(made.len(), 5);
    for (frame, seed) in [(0, 2), (4, 9)] {
        let alone = pictures(&engine, &Run::from_noise(settings(seed, 6), 1)).remove(0);
        assert!(alone.rms_difference(&made[frame]).is_some_and(|rms| rms < 0.5), "seed {seed}");
    }
    assert_ne!(made[0], made[4]);
}

#[test]
fn the_bound_equals_that_of_the_core() {
    let engine = engine();
    let picture = Picture { width: 64, height: 64, pixels: (0..64 * 64).map(|i| (i % 251) as u8).collect() };
    let subject = Subject::Image { name: String::new(), picture: picture.clone() };
    let outcome = perform(&engine, &Task::Measure { subject, times: 4, seed: 0 });
    let Outcome::Bound(measured) = outcome else { panic!("{outcome:?}") };
    let encoder = engine.encoder.borrow().clone().expect("an encoder");
    let (networks, config) = (&engine.model.networks, &engine.model.config);
    let expected = block_on(elbo::measure(
        networks,
        config,
        Stage::Joint,
        &encoder,
        &[&picture.pixels],
        None,
        0,
        4,
        0,
        &FlexDevice,
    ))
    .expect("terms");
    assert!(measured.terms.reconstruction > measured.entropy_floor && measured.entropy_floor > 0.0);
    assert_eq!(expected, [measured]);
}

#[test]
fn speed_counts_the_operations_of_the_model() {
    let engine = engine();
    let outcome = perform(&engine, &Task::Speed);
    let Outcome::Speed(speed) = outcome else { panic!("{outcome:?}") };
    let cost = cost::Cost::of(&engine.model.config);
    let evaluate: Vec<u64> = speed.evaluate.iter().map(|band| band.operations).collect();
    assert_eq!((evaluate, speed.decode.operations), (cost.evaluate, cost.decode));
}

#[test]
fn tasks_that_need_a_missing_encoder_say_so() {
    let engine = engine();
    *engine.encoder.borrow_mut() = None;
    let picture = Picture { width: 64, height: 64, pixels: vec![0; 64 * 64] };
    let subject = Subject::Image { name: String::new(), picture };
    for task in
        [Task::Diffuse { subject: subject.clone(), t: 0.5, seed: 0 }, Task::Measure { subject, times: 1, seed: 0 }]
    {
        assert!(task.needs_encoder());
        assert_eq!(block_on(engine.perform(&task, &TestHost::patient())), Err(Halt::Problem(Problem::NoEncoder)));
    }
}

#[test]
fn settings_that_do_not_fit_the_model_are_refused() {
    let engine = engine();
    let small = Subject::Image { name: String::new(), picture: Picture { width: 2, height: 2, pixels: vec![0; 4] } };
    let run = |start, seeds| Task::Run(Run { start, seeds, settings: settings(0, 2) });
    for task in [
        Task::Run(Run::from_noise(Settings { class: Some(1), ..settings(0, 2) }, 1)),
        Task::Diffuse { subject: small, t: 0.5, seed: 0 },
        Task::Diffuse { subject: Subject::Sample(settings(0, 2)), t: 1.5, seed: 0 },
        run(Start::Noise, vec![]),
        run(Start::Noise, vec![0; 65]),
        run(Start::Between { to: 1, frames: 0 }, vec![0]),
        run(Start::Between { to: 1, frames: 1000 }, vec![0]),
        run(Start::Subject { subject: Subject::Sample(settings(0, 2)), t: 0.0 }, vec![0]),
    ] {
        let ending = block_on(engine.perform(&task, &TestHost::patient()));
        assert!(matches!(ending, Err(Halt::Problem(Problem::Settings { .. }))), "{task:?}: {ending:?}");
    }
}

#[test]
fn files_are_labelled_and_animated() {
    let engine = engine();
    let run = Run::from_noise(settings(0, 5), 1);
    let picture = pictures(&engine, &run).remove(0);
    let flipbook = vec![picture.clone(); 3];
    for (save, frames) in [
        (Save::Grid { pictures: vec![picture; 4], columns: 2 }, None),
        (Save::Strip { run: run.clone(), image: 0 }, None),
        // Each moment, and repetitions of the last.
        (Save::Animation { run, image: 0, format: Film::Png }, Some(6 + 20)),
        (Save::Flipbook { pictures: flipbook, format: Film::Png }, Some(4)),
    ] {
        let outcome = perform(&engine, &Task::Save { save: save.clone(), origin: Origin::default() });
        let Outcome::File(bytes) = outcome else { panic!("{outcome:?}") };
        let reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().expect("a PNG");
        assert_eq!(reader.info().animation_control().map(|control| control.num_frames), frames, "{save:?}");
        assert!(reader.info().utf8_text.iter().any(|text| text.get_text().is_ok_and(|text| text == LABEL)));
    }
    let of = |width: u32, height: u32, pixels: usize| Picture { width, height, pixels: vec![0; pixels] };
    for save in [
        Save::Grid { pictures: Vec::new(), columns: 1 },
        Save::Grid { pictures: vec![of(2, 2, 3)], columns: 1 },
        Save::Grid { pictures: vec![of(0, 0, 0)], columns: 1 },
        Save::Flipbook { pictures: vec![of(2, 2, 4), of(4, 1, 4)], format: Film::Gif },
        Save::Flipbook { pictures: vec![of(u32::MAX, u32::MAX, 1)], format: Film::Png },
    ] {
        let task = Task::Save { save, origin: Origin::default() };
        let ending = block_on(engine.perform(&task, &TestHost::patient()));
        assert!(matches!(ending, Err(Halt::Problem(Problem::Encoding { .. }))), "{task:?}: {ending:?}");
    }
}

#[test]
fn slow_pictures_take_about_half_of_the_time() {
    let (mut pace, mut clock_ms, mut in_pictures_ms) = (PreviewPace::default(), 0.0, 0.0);
    for _ in 0..1000 {
        clock_ms += 10.0;
        if pace.wants(clock_ms) {
            let start_ms = clock_ms;
            clock_ms += 100.0;
            pace.record(start_ms, clock_ms);
            in_pictures_ms += 100.0;
        }
    }
    // Ten steps of 10 ms for each picture of 100 ms; the first picture comes early.
    assert!((in_pictures_ms / clock_ms - 0.5_f64).abs() < 0.01);
}

#[test]
fn a_saved_picture_is_verified_by_drawing_it_again() {
    let engine = engine();
    let run = Run::from_noise(settings(7, 3), 4);
    let made = pictures(&engine, &run);
    let origin =
        |settings: Vec<(String, String)>| Origin { weights_sha256: "ours".into(), settings, ..Origin::default() };
    let saved = |pictures: &[Picture], origin: Origin| match perform(
        &engine,
        &Task::Save { save: Save::Grid { pictures: pictures.to_vec(), columns: 2 }, origin },
    ) {
        Outcome::File(bytes) => bytes,
        other => panic!("{other:?}"),
    };
    let verify = |file: Vec<u8>| match perform(
        &engine,
        &Task::Verify { name: "a.png".into(), file, weights_sha256: "ours".into() },
    ) {
        Outcome::Verified(verdict) => *verdict,
        other => panic!("{other:?}"),
    };
    let of_grid = saved(&made, origin(run.describe()));
    let Verdict::Redrawn { settings: read, given, again, differing, largest, .. } = verify(of_grid.clone()) else {
        panic!("not drawn again");
    };
    assert_eq!((read.seed, differing, largest, given == again), (7, 0, 0, true));

    // One of them, by its own seed; a batch may round otherwise.
    let mut one = origin(run.describe());
    one.settings.push(("image".into(), "3 (seed 9)".into()));
    let Verdict::Redrawn { settings: read, largest, .. } = verify(saved(&made[2..3], one.clone())) else {
        panic!("not drawn again");
    };
    assert!(read.seed == 9 && largest <= Verdict::ROUNDING);

    // A lesion painted into it.
    let (mut picture, _) = read_png(&of_grid, 1 << 20).expect("a picture");
    picture.paste(&GreyImage::filled(5, 4, 255), 10, 20);
    let altered = picture.to_png(&origin(run.describe())).expect("a file");
    let Verdict::Redrawn { differing, largest, difference, .. } = verify(altered) else { panic!("not drawn again") };
    assert!((10..=20).contains(&differing) && largest > Verdict::ROUNDING, "{differing} pixels by {largest}");
    let (row, column) = (difference.width as usize * 20, 10);
    assert!(difference.pixels[row + column] > 0 && difference.pixels[0] == 0);

    assert_eq!(verify(saved(&made[..1], origin(run.describe()))), Verdict::OtherKind, "of another size");
    let strip = Save::Strip { run: run.clone(), image: 0 };
    let Outcome::File(strip) = perform(&engine, &Task::Save { save: strip, origin: origin(run.describe()) }) else {
        panic!("not saved");
    };
    assert_eq!(verify(strip), Verdict::OtherKind);
    let between = vec![("seed".into(), "7".into()), ("to_seed".into(), "8".into())];
    assert_eq!(verify(saved(&made, origin(between))), Verdict::OtherKind);
    let others = Origin { weights: "theirs".into(), weights_sha256: "no".into(), ..origin(run.describe()) };
    let expected = Verdict::OtherWeights { weights: "theirs".into(), sha256: "no".into() };
    assert_eq!(verify(saved(&made, others)), expected);
    let mut bare = Vec::new();
    let mut encoder = png::Encoder::new(&mut bare, 1, 1);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().and_then(|mut writer| writer.write_image_data(&[7])).expect("a file");
    assert_eq!(verify(bare), Verdict::NoOrigin);
    let task = Task::Verify { name: "a.txt".into(), file: b"text".to_vec(), weights_sha256: "ours".into() };
    let refused = block_on(engine.perform(&task, &TestHost::patient()));
    assert_eq!(refused, Err(Halt::Problem(Problem::BadPicture { file: "a.txt".into() })));
}
