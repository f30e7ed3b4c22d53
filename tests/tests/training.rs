//! Training, run as a user runs it: what a run leaves behind, how it stops, and how it goes on.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tests::programs::{Ended, trainer, words};
use tests::runs::{
    TRAIN, checkpoint_step, contents, curve, decode, finished, interrupted, json_lines, pictures, run, same_curves,
    scratch, send, tensors, weights,
};
use vdm::rng::{Rng, RngStream};

#[test]
fn training_leaves_a_whole_run_behind() {
    let folder = finished().join("run");
    let log = json_lines(&folder.join("log.jsonl"));
    assert_eq!(log.iter().map(|line| line["step"].as_u64()).collect::<Vec<_>>(), (1..=6).map(Some).collect::<Vec<_>>());
    for line in &log {
        for term in ["reconstruction", "latent", "diffusion", "gradient_norm", "learning_rate"] {
            assert!(line[term].as_f64().is_some_and(f64::is_finite), "{term} in {line}");
        }
    }
    let validation = json_lines(&folder.join("validation.jsonl"));
    assert_eq!(validation.iter().map(|line| line["step"].as_u64()).collect::<Vec<_>>(), [Some(3), Some(6)]);
    for figure in ["forward.png", "reverse.png", "samples.png"] {
        let paths = contents(&folder).into_keys().filter(|path| path.ends_with(figure)).collect::<Vec<_>>();
        assert_eq!(paths.len(), 1, "{figure}");
        assert!(decode(&paths[0]).width() > 64);
    }
    let losses = fs::read_to_string(folder.join("figures/losses.svg")).expect("a figure");
    assert!(losses.starts_with("<svg xmlns=") && losses.contains("validation ± 1 standard error"), "{losses}");
    let settings = fs::read_to_string(folder.join("run.toml")).expect("run.toml");
    assert!(settings.contains("seed = 5\n") && settings.contains("batch = 4\n"), "{settings}");
    assert!(folder.join("quick-encoder.safetensors").exists());
    for path in contents(&folder).into_keys() {
        let name = path.strip_prefix(&folder).expect("a file of the run").to_string_lossy().into_owned();
        assert!(!name.starts_with('.') && !name.contains("tmp"), "{name} is half-written");
    }
}

#[test]
fn training_needs_no_subcommand_and_says_that_phantoms_are_phantoms() {
    let folder = scratch();
    let line = TRAIN.strip_prefix("train ").expect("a subcommand");
    let said = run(folder.path(), &format!("{line} --steps 1")).ok().stderr;
    assert!(said.contains("phantoms") && said.contains("not X-rays"), "{said}");
    assert!(said.contains("device: CPU"), "{said}");
    assert!(folder.path().join("runs/quick/quick.safetensors").exists(), "runs/PRESET is the default");
    let inspected = run(folder.path(), "inspect runs/quick/quick.safetensors").ok().stdout;
    assert!(inspected.contains("phantoms"), "the weights say it too: {inspected}");
    // A second run finds its own folder.
    run(folder.path(), &format!("{line} --steps 1")).ok();
    assert!(folder.path().join("runs/quick-2/quick.safetensors").exists());
}

#[test]
fn the_same_seed_trains_the_same_weights() {
    let folder = scratch();
    run(folder.path(), &format!("{TRAIN} --steps 6 --set run.validate_every=3 --out again")).ok();
    run(
        folder.path(),
        &format!("{TRAIN} --steps 6 --set run.validate_every=3 --out other --seed 6").replace("--seed 5", ""),
    )
    .ok();
    let again = tensors(&folder.path().join("again/quick.safetensors"));
    assert!(again == tensors(&weights()));
    assert!(again != tensors(&folder.path().join("other/quick.safetensors")));
}

/// Enough steps to be interrupted in the middle.
const LONG: &str = "--steps 480 --set run.validate_every=240 --set run.checkpoint_every=4 --set weights.precision=f32 \
                    --ema 20,100 --set run.keep_every=240 --out run";

#[cfg(unix)]
fn resume_and_compare(folder: &Path, whole: &Path) {
    // What the run was started with need not be said again.
    let said = run(folder, "train --device cpu --out run --resume").ok().stderr;
    assert!(said.contains("resuming after step"), "{said}");
    for file in ["quick.safetensors", "quick-encoder.safetensors", "checkpoint/model.safetensors"] {
        let (a, b) = (folder.join("run").join(file), whole.join("run").join(file));
        assert!(tensors(&a) == tensors(&b), "{file} differs from the uninterrupted run's");
    }
    let terms = |folder: &Path| -> Vec<_> {
        let lines = json_lines(&folder.join("run/log.jsonl"));
        lines
            .iter()
            .map(|line| (line["step"].clone(), line["diffusion"].clone(), line["gradient_norm"].clone()))
            .collect()
    };
    assert_eq!(terms(folder), terms(whole), "every step stands in the log once");
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_goes_on_exactly() {
    let whole = scratch();
    run(whole.path(), &format!("{TRAIN} {LONG}")).ok();

    // The step is finished, and a checkpoint written; a second signal at once changes nothing.
    for signal in ["-INT", "-TERM", "-HUP", "-USR1"] {
        let folder = scratch();
        let ended = interrupted(folder.path(), &format!("{TRAIN} {LONG}"), 10, |child| {
            for _ in 0..2 {
                send(signal, child);
            }
        });
        let said = ended.stopped().stderr;
        assert!(said.contains("--resume"), "says how to go on: {said}");
        let taken = json_lines(&folder.path().join("run/log.jsonl")).len() as u64;
        assert_eq!(checkpoint_step(&folder.path().join("run")), taken, "the checkpoint is of the last step");
        assert!(taken < 480);
        resume_and_compare(folder.path(), whole.path());
    }

    // A kill leaves no time to save.
    let folder = scratch();
    let ended = interrupted(folder.path(), &format!("{TRAIN} {LONG}"), 10, |child| child.kill().expect("a child"));
    assert_eq!(ended.code, None);
    resume_and_compare(folder.path(), whole.path());
}

/// Steps that are never logged, validated or saved.
const RARELY: &str = "--steps 100000 --set run.log_every=100000 --set run.validate_every=100000 \
                      --set run.sample_every=100000 --set run.checkpoint_every=100000 --out run";

#[test]
fn a_time_limit_stops_with_a_checkpoint_however_rarely_a_run_logs() {
    let folder = scratch();
    let started = Instant::now();
    for devices in [1, 2] {
        let line = format!("{TRAIN} {RARELY}{devices} --devices {devices} --time-limit 4s");
        let said = run(folder.path(), &line).stopped().stderr;
        assert!(said.contains("stopped at step") && said.contains("--resume"), "{said}");
        assert!(checkpoint_step(&folder.path().join(format!("run{devices}"))) > 0);
    }
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
}

#[test]
fn a_run_resumes_as_it_was_started_or_not_at_all() {
    let folder = scratch();
    let said = run(folder.path(), "train --resume --device cpu").refusal();
    assert!(said.contains("no run to continue"), "{said}");
    run(folder.path(), &format!("{TRAIN} --steps 2 --out run")).ok();
    let before = contents(folder.path());
    let said = run(folder.path(), &format!("{TRAIN} --steps 3 --out run")).refusal();
    assert!(said.contains("holds a run already") && said.contains("--resume"), "{said}");
    let said = run(folder.path(), "train --device cpu --out run --resume --batch 8 --seed 6").refusal();
    assert!(said.contains("training.batch is 8, not 4") && said.contains("seed is 6, not 5"), "{said}");
    let said = run(folder.path(), "train --device cpu --out run --resume --steps 1").refusal();
    assert!(said.contains("--steps is 1") && said.contains("step 2"), "{said}");
    assert!(before == contents(folder.path()), "the run is as it was");

    let resumed = || run(folder.path(), "train --device cpu --out run --resume");
    let optimizer = folder.path().join("run/checkpoint/optimizer.mpk");
    let whole = fs::read(&optimizer).expect("a file");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 4;
    fs::write(&optimizer, flipped).expect("a file");
    let said = resumed().refusal();
    assert!(
        said.contains("checkpoint is damaged") && said.contains("optimizer.mpk is not as it was written"),
        "{said}"
    );
    fs::write(&optimizer, whole).expect("a file");
    for log in ["log.jsonl", "validation.jsonl", "schedule.jsonl"] {
        let path = folder.path().join("run").join(log);
        fs::write(&path, [fs::read(&path).expect("a log"), b"\xff\0{\"step".to_vec()].concat()).expect("a log");
    }
    resumed().ok();
    fs::rename(folder.path().join("run/checkpoint"), folder.path().join("gone")).expect("renames");
    let said = resumed().refusal();
    assert!(said.contains("a log but no checkpoint"), "{said}");
    assert_eq!(json_lines(&folder.path().join("run/log.jsonl")).len(), 2, "the log stays");
}

#[test]
fn a_finished_run_takes_more_steps_or_goes_back() {
    let folder = scratch();
    run(folder.path(), &format!("{TRAIN} --steps 4 --set run.keep_every=2 --out run")).ok();
    let log = folder.path().join("run/log.jsonl");
    let resumed = "train --device cpu --out run --resume";
    let said = run(folder.path(), &format!("{resumed} --steps 6 --learning-rate 1e-5")).ok().stderr;
    assert!(said.contains("changed: training.steps is 6, not 4"), "{said}");
    let lines = json_lines(&log);
    assert_eq!((lines.len(), checkpoint_step(&folder.path().join("run"))), (6, 6));
    assert!(lines[4]["learning_rate"].as_f64() < Some(1e-5), "{}", lines[4]);

    let said = run(folder.path(), &format!("{resumed}-from 3")).refusal();
    assert!(said.contains("--resume-from is 3") && said.contains("steps 2, 6"), "{said}");
    let said = run(folder.path(), &format!("{resumed}-from 2 --time-limit 1ns")).stopped().stderr;
    assert!(said.contains("before the first step"), "{said}");
    let said = run(folder.path(), &format!("{resumed}-from 2 --steps 3")).ok().stderr;
    assert!(said.contains("resuming after step 2 of 3"), "{said}");
    assert_eq!((json_lines(&log).len(), checkpoint_step(&folder.path().join("run"))), (3, 3));
    assert!(folder.path().join("run/checkpoint-step-00000006").exists(), "what was there stays");
    let inspected = run(folder.path(), "inspect run/quick.safetensors").ok().stdout;
    assert!(inspected.contains("\"training_steps\":3"), "the weights are of these steps: {inspected}");
}

#[test]
fn images_that_changed_since_are_told_and_refused() {
    let folder = scratch();
    pictures(&folder.path().join("images"), 20);
    run(folder.path(), "train --preset quick --device cpu --batch 4 --steps 1 --data images --out run").ok();
    fs::rename(folder.path().join("images"), folder.path().join("moved")).expect("renames");
    let resumed = "train --resume --device cpu --out run --data moved --steps 2";
    run(folder.path(), resumed).ok();
    fs::remove_file(folder.path().join("moved/a/00.png")).expect("removes");
    let before = contents(&folder.path().join("run"));
    let said = run(folder.path(), resumed).refusal();
    assert!(said.contains(" deleted (train: a/00.png") && said.contains("--accept-changed-images"), "{said}");
    assert!(before == contents(&folder.path().join("run")), "the run is as it was");
    let resumed = resumed.replace("--steps 2", "--steps 3");
    let said = run(folder.path(), &format!("{resumed} --accept-changed-images")).ok().stderr;
    assert!(said.contains(" deleted "), "{said}");
}

#[cfg(unix)]
#[test]
fn a_second_process_does_not_train_in_the_folder_of_a_run() {
    let folder = scratch();
    let ended = interrupted(folder.path(), &format!("{TRAIN} {LONG}"), 5, |child| {
        let said = run(folder.path(), "train --device cpu --out run --resume").refusal();
        assert!(said.contains("another process trains in run"), "{said}");
        send("-TERM", child);
    });
    ended.stopped();
}

/// Kills a run again and again until it ends. Returns how often, and how often of these twice in a row: before there was a
/// newer step in the log than at the kill before.
#[cfg(unix)]
fn killed_until_it_ends(folder: &Path, random: &mut Rng) -> [usize; 2] {
    let log = folder.join("run/log.jsonl");
    let logged = || fs::read_to_string(&log).unwrap_or_default().lines().count();
    let mut kills = [0, 0];
    let mut started = false;
    loop {
        assert!(kills[0] < 1000, "the run does not get on");
        let line = if started { "train --device cpu --out run --resume".to_owned() } else { format!("{TRAIN} {LONG}") };
        let mut child = trainer()
            .current_dir(folder)
            .args(words(&line))
            .stderr(Stdio::piped())
            .spawn()
            .expect("the trainer starts");
        // Any moment, from the start of the process on: a third of the kills come early, and the others among the steps.
        let is_early = random.below(3) == 0;
        let (before, steps) = (logged(), if is_early { 0 } else { 1 + random.below(40) });
        let mut is_alive = || child.try_wait().expect("a child").is_none();
        while steps > 0 && logged() < before + steps && is_alive() {
            std::thread::sleep(Duration::from_millis(2));
        }
        let more = Duration::from_millis(random.below(if is_early { 400 } else { 40 }) as u64);
        let now = Instant::now();
        while now.elapsed() < more && is_alive() {
            std::thread::sleep(Duration::from_millis(1));
        }
        if is_alive() {
            child.kill().expect("a child");
        }
        let ended: Ended = child.wait_with_output().expect("a child").into();
        started |= folder.join("run/run.toml").exists();
        if ended.code.is_some() {
            ended.ok();
            return kills;
        }
        kills[0] += 1;
        kills[1] += usize::from(kills[0] > 1 && logged() <= before);
    }
}

/// `VDM_KILLS=500` kills as often, over as many runs as that takes.
#[cfg(unix)]
#[test]
fn a_run_that_is_killed_again_and_again_ends_as_one_that_is_not() {
    let at_least = std::env::var("VDM_KILLS").map_or(1, |kills| kills.parse::<usize>().expect("a number"));
    let whole = scratch();
    run(whole.path(), &format!("{TRAIN} {LONG}")).ok();
    let mut random = Rng::new(1, RngStream::Evaluation, 0);
    let mut kills = [0, 0];
    let mut runs = 0;
    while kills[0] < at_least {
        let folder = scratch();
        let [all, again] = killed_until_it_ends(folder.path(), &mut random);
        (kills, runs) = ([kills[0] + all, kills[1] + again], runs + 1);
        for file in ["quick.safetensors", "checkpoint/model.safetensors", "checkpoint/ema-100.safetensors"] {
            let of = |folder: &Path| tensors(&folder.join("run").join(file));
            assert!(of(folder.path()) == of(whole.path()), "{file} differs from the uninterrupted run's");
        }
        let left: Vec<_> = fs::read_dir(folder.path().join("run"))
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with('.'))
            .collect();
        assert!(left.is_empty(), "half-written checkpoints are cleared away: {left:?}");
    }
    let [all, again] = kills;
    println!("{all} kills in {runs} runs, {again} of them twice in a row: the same weights each time");
    assert!(all > 10 && again > 0, "{all} kills, {again} of them twice in a row");
}

#[test]
fn devices_and_parts_give_the_loss_curve_of_one_device() {
    let folder = scratch();
    let train = TRAIN.replace("--batch 4", "--batch 8");
    for (name, more) in [
        ("one", ""),
        ("two", "--devices 2"),
        ("four", "--devices 4"),
        ("parts", "--set training.accumulation=4"),
        ("both", "--devices 2 --set training.accumulation=2"),
    ] {
        run(folder.path(), &format!("{train} --steps 20 --set run.validate_every=20 --out {name} {more}")).ok();
    }
    let one = curve(folder.path(), "one");
    assert!(one[19][0] < one[0][0], "it learns");
    for name in ["two", "four", "parts", "both"] {
        same_curves(&one, &curve(folder.path(), name));
    }
    let other = curve(finished(), "run");
    assert!((other[1][0] - one[1][0]).abs() > 1e-4 * one[1][0], "another batch gives another curve");
    let said = run(folder.path(), &format!("{train} --steps 1 --devices 3 --out never")).refusal();
    assert!(said.contains("multiple of 3"), "{said}");
    assert!(!folder.path().join("never/run.toml").exists());
}

#[test]
fn half_precision_trains_like_full_precision() {
    let folder = scratch();
    let mut curves = Vec::new();
    for precision in ["f32", "bf16", "f16"] {
        let line = format!("{TRAIN} --steps 15 --set run.validate_every=15 --precision {precision} --out {precision}");
        run(folder.path(), &line).ok();
        curves.push(curve(folder.path(), precision));
    }
    let full = &curves[0];
    for half in &curves[1..] {
        assert!(half != full);
        for (a, b) in full.iter().zip(half) {
            // 8 significant bits in the products; the reconstruction averages over 4096 pixels.
            assert!((a[0] - b[0]).abs() < 5e-3 * a[0], "{} and {}", a[0], b[0]);
        }
    }
    let inspected = run(folder.path(), "inspect bf16/checkpoint/model.safetensors").ok().stdout;
    assert!(inspected.contains("F32"), "the weights themselves stay float32: {inspected}");
}

#[test]
fn averages_of_the_weights_are_validated_and_kept() {
    let folder = scratch();
    run(folder.path(), &format!("{TRAIN} --steps 10 --set run.validate_every=5 --ema 8,1000 --out run")).ok();
    let lines = json_lines(&folder.path().join("run/validation.jsonl"));
    let series: Vec<_> = lines.iter().map(|line| line["series"].as_str().unwrap_or_default().to_owned()).collect();
    assert_eq!(series, ["weights", "ema-8", "ema-1000", "weights", "ema-8", "ema-1000"]);
    let of = |name: &str| tensors(&folder.path().join(format!("run/checkpoint/{name}.safetensors")));
    assert!(of("model") != of("ema-8"));
}

#[test]
fn what_is_not_finite_stops_a_run_or_sets_it_back() {
    let folder = scratch();
    let explode = format!(
        "{TRAIN} --steps 60 --learning-rate 1 --set training.clip_norm=1e9 --set training.warmup_steps=20 \
         --set run.checkpoint_every=2 --set run.validate_every=60"
    );
    let said = run(folder.path(), &format!("{explode} --out stop")).refusal();
    assert!(said.contains("not finite at step") && said.contains("--learning-rate"), "{said}");
    assert!(folder.path().join("stop/checkpoint/model.safetensors").exists(), "the last good one stays");
    let ended = run(folder.path(), &format!("{explode} --set run.on_not_finite=rollback --out back"));
    assert!(ended.stderr.contains("back to step") && ended.stderr.contains("rollback 1 of 3"), "{}", ended.stderr);
    assert!(ended.refusal().contains("after 3 rollbacks"));
}

#[test]
fn a_configuration_file_says_all_and_the_command_line_more() {
    let folder = scratch();
    let printed =
        run(folder.path(), "train --print-config --preset quick --batch 4 --seed 5 --max-images 24").ok().stdout;
    fs::write(folder.path().join("all.toml"), &printed).expect("a file");
    let again = run(folder.path(), "train --print-config --config all.toml").ok().stdout;
    assert_eq!(printed, again, "what is printed is accepted");
    fs::write(
        folder.path().join("some.toml"),
        "preset = \"quick\"\nseed = 5\n[data]\nmax_images = 24\n[training]\nbatch = 99\nsteps = 6\n[run]\nvalidate_every = 3\n",
    )
    .expect("a file");
    run(folder.path(), "train --device cpu --config some.toml --set training.batch=77 --batch 4 --out run").ok();
    assert!(tensors(&folder.path().join("run/quick.safetensors")) == tensors(&weights()), "flags are on top");

    for (text, named) in [
        ("[training]\nlerning_rate = 1", "did you mean training.learning_rate?"),
        ("[training]\nbatch = \"many\"", "batch"),
        ("[training\nbatch = 3", "line 1"),
        ("[training]\nbatch = 0", "batch"),
        ("preset = \"papre\"", "papre"),
    ] {
        fs::write(folder.path().join("bad.toml"), text).expect("a file");
        let said = run(folder.path(), "train --device cpu --config bad.toml --out never").refusal();
        assert!(said.contains(named), "{text}: {said}");
    }
    let said = run(folder.path(), "train --device cpu --set training.bach=3 --out never").refusal();
    assert!(said.contains("training.batch"), "{said}");
    assert!(!folder.path().join("never").exists());
}

/// A file system of a few megabytes, in a namespace of its own: no rights are needed where the kernel allows such.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_the_last_good_checkpoint() {
    let folder = scratch();
    let binary = trainer().get_program().to_owned();
    let script = format!(
        "mount -t tmpfs -o size=12m tmpfs disk || exit 99
         \"$0\" {TRAIN} --steps 40 --set run.checkpoint_every=4 --set run.validate_every=40 --out disk/run; echo first $? >&2
         ls -A disk/run >&2
         mount -o remount,size=100m disk || exit 98
         \"$0\" train --device cpu --resume --out disk/run; echo second $? >&2
         mount -o remount,ro disk || exit 97
         \"$0\" train --device cpu --resume --out disk/run; echo third $? >&2"
    );
    fs::create_dir(folder.path().join("disk")).expect("a folder");
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]).arg(binary);
    let ended: Ended = command.current_dir(folder.path()).output().expect("unshare, of util-linux, starts").into();
    assert!(ended.code == Some(0), "a small file system cannot be mounted here: {ended:?}");
    let said = &ended.stderr;
    assert!(said.contains("cannot save step") && said.contains("checkpoint of step 4 stays"), "{said}");
    assert!(said.contains("No space left") && said.contains("first 1"), "{said}");
    let listing = said.split("first 1").nth(1).expect("a listing").split("device:").next().expect("before resuming");
    assert!(!listing.contains(".checkpoint") && listing.contains("checkpoint"), "{listing}");
    assert!(said.contains("resuming after step 4") && said.contains("second 0"), "{said}");
    assert!(said.contains("cannot write disk/run/run.lock") && said.contains("third 1"), "{said}");
}
