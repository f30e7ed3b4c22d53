//! Several processes, as `mpirun` starts them. `VDM_SKIP_MPI` leaves these tests out; they need Open MPI and libclang.

#![cfg(unix)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tests::programs::{Ended, trainer, trainer_with_mpi, words};
use tests::runs::{TRAIN, checkpoint_step, curve, json_lines, run, same_curves, scratch, send};

/// Starts a program in a folder, as many times as asked for.
fn mpirun(folder: &Path, program: &Path, lines: &[(usize, String)]) -> Child {
    let mut command = Command::new("mpirun");
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.args(["--allow-run-as-root", "--oversubscribe", "--bind-to", "none"]);
    // A rank that waits leaves its core to the one that it waits for: without this, two ranks take 1.4 times as long on two
    // cores that have other work.
    command.args(["--mca", "mpi_yield_when_idle", "1"]);
    let cache =
        trainer().get_envs().find(|(name, _)| *name == "VDM_CACHE").and_then(|(_, value)| value.map(PathBuf::from));
    command.envs(cache.map(|cache| ("VDM_CACHE", cache)));
    for (i, (count, line)) in lines.iter().enumerate() {
        command.args((i > 0).then_some(":")).args(["-n", &count.to_string()]).arg(program).args(words(line));
    }
    command.spawn().expect("mpirun starts")
}

fn with_mpi() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(trainer_with_mpi)
}

fn ranks(folder: &Path, count: usize, line: &str) -> Ended {
    mpirun(folder, with_mpi(), &[(count, line.to_owned())]).wait_with_output().expect("a child").into()
}

fn line() -> String {
    let train = TRAIN.replace("--batch 4", "--batch 12");
    format!("{train} --steps 20 --set run.validate_every=10 --set run.checkpoint_every=5 --ema 20")
}

#[test]
#[cfg_attr(skip_mpi, ignore)]
fn ranks_give_the_loss_curve_of_one_and_resume_on_any_number() {
    let folder = scratch();
    run(folder.path(), &format!("{} --out one", line())).ok();
    let one = curve(folder.path(), "one");
    for count in [2, 3] {
        ranks(folder.path(), count, &format!("{} --out r{count}", line())).ok();
        same_curves(&one, &curve(folder.path(), &format!("r{count}")));
    }
    // Rank 0 decides, whatever the others are told.
    let others = line().replace("--seed 5", "--seed 6").replace("--batch 12", "--batch 4");
    let mixed = [(1, format!("{} --out mixed", line())), (1, format!("{others} --out elsewhere"))];
    Ended::from(mpirun(folder.path(), with_mpi(), &mixed).wait_with_output().expect("a child")).ok();
    assert_eq!(curve(folder.path(), "mixed"), curve(folder.path(), "r2"));
    assert!(!folder.path().join("elsewhere").exists());

    let first = line().replace("--steps 20", "--steps 7");
    ranks(folder.path(), 3, &format!("{first} --out on")).ok();
    // The schedule of the whole run from step 7 on.
    ranks(folder.path(), 2, "train --resume --device cpu --out on --steps 13").ok();
    run(folder.path(), "train --resume --device cpu --out on --steps 20").ok();
    for steps in [7, 13, 20] {
        let more = if steps == 7 { first.clone() } else { format!("train --resume --device cpu --steps {steps}") };
        run(folder.path(), &format!("{more} --out alone")).ok();
    }
    same_curves(&curve(folder.path(), "alone"), &curve(folder.path(), "on"));
}

/// Waits for steps in a run's log, and returns how the job ended after `end`. What hangs goes on for ever; what works takes
/// seconds, and longer where the machine has other work.
fn ended_after(folder: &Path, mut job: Child, end: impl Fn(&Child)) -> Ended {
    let started = Instant::now();
    while fs::read_to_string(folder.join("run/log.jsonl")).unwrap_or_default().lines().count() < 8 {
        assert!(started.elapsed() < Duration::from_secs(300), "no steps were taken");
        if job.try_wait().expect("a child").is_some() {
            panic!("it ended by itself: {:?}", Ended::from(job.wait_with_output().expect("a child")));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let now = Instant::now();
    end(&job);
    let ended = job.wait_with_output().expect("a child").into();
    assert!(now.elapsed() < Duration::from_secs(60), "it went on for {:?}", now.elapsed());
    ended
}

fn long() -> String {
    format!("{} --out run", line().replace("--steps 20", "--steps 5000").replace("every=10", "every=5000"))
}

#[test]
#[cfg_attr(skip_mpi, ignore)]
fn one_rank_that_is_killed_ends_all_and_the_run_goes_on_with_fewer() {
    let folder = scratch();
    let job = mpirun(folder.path(), with_mpi(), &[(3, long())]);
    let ended = ended_after(folder.path(), job, |job| {
        let pids = Command::new("pgrep").args(["-P", &job.id().to_string(), "-f", "trainer"]).output().expect("pgrep");
        let pids = String::from_utf8_lossy(&pids.stdout).into_owned();
        assert_eq!(pids.lines().count(), 3, "{pids}");
        let status = Command::new("kill").args(["-KILL", pids.lines().last().expect("a rank")]).status();
        assert!(status.is_ok_and(|status| status.success()));
    });
    assert!(ended.code != Some(0), "{ended:?}");
    let step = checkpoint_step(&folder.path().join("run"));
    assert!(step >= 5);
    let said = run(folder.path(), &format!("train --resume --device cpu --out run --steps {}", step + 2)).ok().stderr;
    assert!(said.contains(&format!("resuming after step {step}")), "{said}");
}

#[test]
#[cfg_attr(skip_mpi, ignore)]
fn a_signal_stops_all_ranks_at_the_same_step_with_a_checkpoint() {
    let folder = scratch();
    let job = mpirun(folder.path(), with_mpi(), &[(2, long())]);
    // mpirun passes it on.
    let ended = ended_after(folder.path(), job, |job| send("-USR1", job));
    assert_eq!(ended.code, Some(75), "{ended:?}");
    let taken = json_lines(&folder.path().join("run/log.jsonl")).len() as u64;
    assert_eq!(checkpoint_step(&folder.path().join("run")), taken);
}

#[test]
#[cfg_attr(skip_mpi, ignore)]
fn processes_that_do_not_train_together_are_refused() {
    let folder = scratch();
    let program = PathBuf::from(trainer().get_program());
    let job = mpirun(folder.path(), &program, &[(2, format!("{} --out never", line()))]);
    let ended = Ended::from(job.wait_with_output().expect("a child"));
    assert!(ended.code != Some(0) && ended.stderr.contains("started 2 processes"), "{ended:?}");
    let ended = ranks(folder.path(), 2, &format!("{} --devices 2 --out never", line()));
    assert!(
        ended.code != Some(0) && ended.stderr.contains("each of the 2 processes trains on one device"),
        "{ended:?}"
    );
    let ended = ranks(folder.path(), 5, &format!("{} --out never", line()));
    assert!(ended.code != Some(0) && ended.stderr.contains("multiple of 5"), "{ended:?}");
    assert!(!folder.path().join("never").exists());
}
