//! The jobs of the worker, one after the other, and their results.

use vdm::image::Origin;
use vdm::sampler::Sampler;

use super::event::{Command, Event, PATIENCE_SECONDS};
use super::parts::{DiffusedAt, Export, FRAMES, Frame, Job, JobKind, Measured, Notice, Panel, Phase, Plan, Slot};
use super::state::Session;
use crate::map::place;
use crate::protocol::{
    BackendKind, Control, Film, ModelInfo, Outcome, Problem, Recovery, Request, Response, Run, Save, Task,
};
use crate::settings::Settings;
use crate::toy::STEPS;

/// Diffusion times at which the bound is measured.
pub(super) const MEASURE_TIMES: u32 = 16;
/// Pictures of a visit that the map shows: those of a kiosk's day would cover it.
pub(super) const MAX_DRAWN: usize = 200;

impl Session {
    /// Does what the user asks for; without effect if it cannot be done now.
    pub(super) fn on_user_event(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::Cancel if self.can_cancel() => self.cancel(),
            Event::Pause => self.control(Control::Pause),
            Event::Resume => self.control(Control::Resume),
            Event::Step => self.control(Control::Step),
            _ if !self.is_idle() => Vec::new(),
            Event::Run { slot, run, stepwise } => {
                self.notice = None;
                self.plan(JobKind::Fill(slot), Task::Run(run), stepwise)
            }
            Event::Race { left, right } => {
                self.notice = None;
                self.panels[Slot::RaceRight as usize] = None;
                self.plans.push_back(Plan {
                    kind: JobKind::Fill(Slot::RaceRight),
                    task: Task::Run(right),
                    paused: false,
                });
                self.start(Plan { kind: JobKind::Fill(Slot::RaceLeft), task: Task::Run(left), paused: false })
            }
            Event::Moment { slot, image, index } => {
                let Some(panel) = self.panel(slot).filter(|_| self.is_of_model(slot)) else { return Vec::new() };
                let task = Task::Moment { run: panel.run.clone(), image, index };
                self.plan(JobKind::Moment(slot), task, false)
            }
            Event::Diffuse { subject, t, seed } => {
                self.plan(JobKind::Diffuse, Task::Diffuse { subject, t, seed }, false)
            }
            Event::Measure(subject) => {
                self.notice = None;
                self.plan(JobKind::Measure, Task::Measure { subject, times: MEASURE_TIMES, seed: 0 }, false)
            }
            Event::MeasureSpeed => {
                self.notice = None;
                self.plan(JobKind::Speed, Task::Speed, false)
            }
            Event::Learn { points, seed } => {
                (self.notice, self.learned) = (None, None);
                self.plan(JobKind::Learn, Task::Learn { points, seed }, false)
            }
            Event::Verify { name, file } => {
                let Some(model) = &self.model else { return Vec::new() };
                let weights_sha256 = model.sha256.clone();
                (self.notice, self.verified) = (None, None);
                self.plan(JobKind::Verify, Task::Verify { name, file, weights_sha256 }, false)
            }
            Event::Save(slot, export) => self.save(slot, export),
            Event::Use(choice) => {
                let Some(source) = self.source(&choice) else { return Vec::new() };
                self.notice = None;
                self.wanted = Some(choice);
                self.plan(JobKind::Switch, Task::Switch(source), false)
            }
            _ => Vec::new(),
        }
    }

    fn plan(&mut self, kind: JobKind, task: Task, paused: bool) -> Vec<Command> {
        let plan = Plan { kind, task, paused };
        match &self.job {
            // A quick job runs: the last place of each slider follows it.
            Some(_) if plan.kind.is_quick() => {
                self.next_quick.retain(|other| other.kind != plan.kind);
                self.next_quick.push_back(plan);
                Vec::new()
            }
            Some(_) => {
                self.next_quick.clear();
                self.plans.push_back(plan);
                Vec::new()
            }
            None => self.start(plan),
        }
    }

    fn start(&mut self, plan: Plan) -> Vec<Command> {
        if self.job.is_some() {
            self.plans.push_front(plan);
            return Vec::new();
        }
        self.jobs += 1;
        let id = self.jobs;
        if let (JobKind::Fill(slot), Task::Run(run)) = (&plan.kind, &plan.task) {
            self.begin(*slot, run);
        }
        let request = Request::Start { job: id, task: plan.task.clone(), paused: plan.paused };
        let paused = plan.paused;
        let of = if let Task::Run(run) = &plan.task { run.steps() } else { 0 };
        self.job = Some(Job { id, plan, step: 0, of, paused, stopping: false, fetching: None, fetched_before: None });
        vec![Command::Send(request)]
    }

    /// The images on the screen stay until the first new ones arrive.
    fn begin(&mut self, slot: Slot, run: &Run) {
        let old = self.panels[slot as usize].take();
        if let Some(old) = old.as_ref().filter(|panel| panel.origin.is_some()) {
            self.previous[slot as usize] = Some(old.clone());
        }
        let pictures = old.map(|panel| panel.pictures).filter(|pictures| pictures.len() == run.count());
        self.panels[slot as usize] = Some(Panel {
            run: run.clone(),
            pictures: pictures.unwrap_or_default(),
            noisy: None,
            film: Vec::new(),
            step: 0,
            t: 1.0,
            elapsed_ms: 0.0,
            origin: None,
            moment: None,
        });
    }

    /// Brings back the complete images that a run without an end has replaced.
    pub(super) fn restore(&mut self, job: Option<&Job>) {
        if let Some(JobKind::Fill(slot)) = job.map(|job| &job.plan.kind)
            && let Some(previous) = self.previous[*slot as usize].take()
        {
            self.panels[*slot as usize] = Some(previous);
        }
    }

    pub(super) fn start_next(&mut self) -> Vec<Command> {
        if self.job.is_some() {
            return Vec::new();
        }
        match self.plans.pop_front().or_else(|| self.next_quick.pop_front()) {
            Some(plan) => self.start(plan),
            None => Vec::new(),
        }
    }

    pub(super) fn on_job_message(&mut self, answer: Response) -> Vec<Command> {
        let of = match &answer {
            Response::Step { job, .. } | Response::Done { job, .. } | Response::Stopped { job, .. } => Some(*job),
            Response::Failed { job, .. } => *job,
            Response::Learned { job, .. } => Some(*job),
            _ => None,
        };
        if self.job.as_ref().map(|job| job.id) != of {
            return Vec::new();
        }
        match answer {
            Response::Step { step, of, t, elapsed_ms, pictures, noisy, .. } => {
                let Some(job) = &mut self.job else { return Vec::new() };
                (job.step, job.of) = (step, of);
                job.fetching = None;
                if let JobKind::Fill(slot) = job.plan.kind
                    && let Some(panel) = &mut self.panels[slot as usize]
                {
                    (panel.step, panel.t, panel.elapsed_ms) = (step, t, elapsed_ms);
                    if !pictures.is_empty() {
                        let place = panel.place(step);
                        if panel.film.last().is_none_or(|last| last.place < place) {
                            panel.film.push(Frame { place, pictures: pictures.clone(), noisy: noisy.clone() });
                        }
                        (panel.pictures, panel.noisy) = (pictures, noisy);
                    }
                }
                Vec::new()
            }
            Response::Learned { progress, .. } => {
                if let Some(job) = &mut self.job {
                    (job.step, job.of) = (progress.step, STEPS);
                }
                self.learned = Some(*progress);
                Vec::new()
            }
            Response::Done { elapsed_ms, outcome, .. } => {
                let Some(job) = self.job.take() else { return Vec::new() };
                let mut commands = self.receive(job, elapsed_ms, outcome);
                commands.extend(self.start_next());
                commands
            }
            Response::Stopped { step, .. } => {
                let Some(job) = self.job.take() else { return Vec::new() };
                self.restore(Some(&job));
                let of = if let Task::Run(run) = &job.plan.task { run.steps() } else { 0 };
                // What has learned stays on the screen.
                self.notice = (job.plan.kind != JobKind::Learn).then_some(Notice::Cancelled { step, of });
                self.forget_plans();
                Vec::new()
            }
            Response::Failed { problem, .. } if self.keeps_model(&problem) => {
                let job = self.job.take();
                self.restore(job.as_ref());
                self.plans.clear();
                self.notice = Some(Notice::Failed(problem));
                self.start_next()
            }
            Response::Failed { problem, .. } => self.fail(problem),
            _ => Vec::new(),
        }
    }

    /// Whether the model stays in use after this failure of the job.
    fn keeps_model(&self, problem: &Problem) -> bool {
        let needs_encoder = self.job.as_ref().is_some_and(|job| job.plan.task.needs_encoder());
        let encoder_is_missing = needs_encoder && !problem.may_be_the_gpu();
        let is_switching = self.is_switching()
            && !matches!(
                problem,
                Problem::GpuLost { .. } | Problem::GpuError { .. } | Problem::GpuSilent { .. } | Problem::GpuFlat
            );
        problem.recovery() == Recovery::Dismiss || is_switching || encoder_is_missing
    }

    fn is_switching(&self) -> bool {
        self.job.as_ref().is_some_and(|job| job.plan.kind == JobKind::Switch)
    }

    fn receive(&mut self, job: Job, elapsed_ms: f64, outcome: Outcome) -> Vec<Command> {
        match (job.plan.kind, job.plan.task, outcome) {
            (JobKind::Fill(slot), Task::Run(run), Outcome::Pictures(pictures)) => {
                let origin = self.model.as_ref().map(|model| origin(&run, model));
                let room = MAX_DRAWN.saturating_sub(self.drawn.len());
                self.drawn.extend(pictures.iter().take(room).map(place));
                let (step, i) = (run.steps(), slot as usize);
                let mut film = self.panels[i].take().map(|panel| panel.film).unwrap_or_default();
                let place = FRAMES - 1;
                film.retain(|frame| frame.place < place);
                film.push(Frame { place, pictures: pictures.clone(), noisy: None });
                self.previous[i] = None;
                self.panels[i] =
                    Some(Panel { run, pictures, noisy: None, film, step, t: 0.0, elapsed_ms, origin, moment: None });
            }
            (JobKind::Moment(slot), Task::Moment { run, image, .. }, Outcome::Moment(moment)) => {
                if let Some(panel) = &mut self.panels[slot as usize]
                    && panel.run == run
                {
                    panel.moment = Some((image, moment));
                }
            }
            (JobKind::Diffuse, Task::Diffuse { subject, t, seed }, Outcome::Diffused(diffused)) => {
                self.diffused = Some(DiffusedAt { subject, t, seed, diffused });
            }
            (JobKind::Measure, Task::Measure { subject, times, .. }, Outcome::Bound(elbo)) => {
                self.measured = Some(Measured { subject, times, elbo });
            }
            (JobKind::Learn, _, Outcome::Learned) => {}
            (JobKind::Verify, Task::Verify { name, .. }, Outcome::Verified(verdict)) => {
                self.verified = Some((name, *verdict));
            }
            (JobKind::Speed, _, Outcome::Speed(speed)) => self.speed = Some(speed),
            (JobKind::Save { file_name }, _, Outcome::File(bytes)) => {
                self.notice = Some(Notice::Saved { file_name: file_name.clone() });
                return vec![Command::SaveFile { name: file_name, bytes }];
            }
            (JobKind::Switch, _, Outcome::Loaded(model)) => {
                if let Some(choice) = self.wanted.take() {
                    self.choice = choice;
                }
                // Complete images stay, with their files and link; other results do not fit these weights.
                let same = self.model.as_ref().is_some_and(|old| old.sha256 == model.sha256);
                if !same {
                    for panel in &mut self.panels {
                        *panel = panel.take().filter(|panel| panel.origin.is_some());
                    }
                    (self.diffused, self.measured, self.speed, self.verified) = (None, None, None, None);
                }
                self.notice = Some(Notice::Switched { name: model.provenance.name.clone() });
                self.model = Some(*model);
            }
            // An outcome of another kind comes from a worker of another version.
            _ => return self.fail(Problem::VersionMismatch),
        }
        Vec::new()
    }

    fn control(&mut self, control: Control) -> Vec<Command> {
        let Some(job) = &mut self.job else { return Vec::new() };
        if !matches!(job.plan.kind, JobKind::Fill(_) | JobKind::Learn) || job.stopping {
            return Vec::new();
        }
        job.paused = control != Control::Resume;
        vec![Command::Send(Request::Control { job: job.id, control })]
    }

    fn cancel(&mut self) -> Vec<Command> {
        let Some(job) = &mut self.job else { return Vec::new() };
        job.stopping = true;
        job.fetched_before = job.fetching;
        let job = job.id;
        vec![Command::Send(Request::Control { job, control: Control::Cancel }), Command::ExpectEnd { job }]
    }

    /// A cancelled job has not ended in time: its worker hangs, and another one takes its place.
    pub(super) fn on_timeout(&mut self, id: u32) -> Vec<Command> {
        let ready = self.phase == Phase::Ready;
        let Some(job) = self.job.as_mut().filter(|job| job.id == id && ready) else { return Vec::new() };
        // The network is slow, and not the GPU. While bytes come, there is no limit.
        if job.fetching.is_some() && job.fetching != job.fetched_before {
            job.fetched_before = job.fetching;
            return vec![Command::ExpectEnd { job: id }];
        }
        let on_gpu = self.model.as_ref().is_some_and(|model| model.backend.kind == BackendKind::WebGpu);
        self.notice = if job.fetching.is_some() {
            let detail = format!("nothing came for {PATIENCE_SECONDS} seconds");
            Some(Notice::Failed(Problem::Network { file: self.fetched_file(), detail }))
        } else if self.is_switching() && !on_gpu {
            Some(Notice::Cancelled { step: 0, of: 0 })
        } else {
            self.forget_plans();
            return self.fail(Problem::WorkerSilent { seconds: PATIENCE_SECONDS });
        };
        self.forget_plans();
        self.restart()
    }

    /// The name of the file that the job waits for.
    fn fetched_file(&self) -> String {
        let source = match self.job.as_ref().map(|job| &job.plan.task) {
            Some(Task::Switch(source)) => Some(source.clone()),
            _ => self.source(&self.choice),
        };
        let file = source
            .and_then(|source| if self.is_switching() { source.files.into_iter().next() } else { source.encoder });
        file.map(|file| file.name).unwrap_or_default()
    }

    fn forget_plans(&mut self) {
        self.plans.clear();
        self.next_quick.clear();
        self.wanted = None;
    }

    fn save(&mut self, slot: Slot, export: Export) -> Vec<Command> {
        let Some(Panel { run, pictures, origin: Some(origin), .. }) = self.panel(slot) else { return Vec::new() };
        let columns = match slot {
            Slot::Between => pictures.len(),
            _ => (pictures.len() as f64).sqrt().ceil() as usize,
        };
        let mut origin = origin.clone();
        let mut seed = run.settings.seed;
        let mut of_image = |image: u32| {
            if let Some(own) = run.seeds.get(image as usize)
                && run.seeds.len() > 1
            {
                seed = *own;
                origin.settings.push(("image".into(), format!("{} (seed {own})", image + 1)));
            }
        };
        let mut ending = Film::Png.ending();
        let (save, suffix) = match export {
            Export::Pictures { image: None } => {
                (Save::Grid { pictures: pictures.clone(), columns: columns as u32 }, "")
            }
            Export::Pictures { image: Some(image) } => {
                let Some(picture) = pictures.get(image as usize) else { return Vec::new() };
                of_image(image);
                (Save::Grid { pictures: vec![picture.clone()], columns: 1 }, "")
            }
            Export::Animation { image, format } => {
                of_image(image);
                ending = format.ending();
                (Save::Animation { run: run.clone(), image, format }, "-animation")
            }
            Export::Strip { image } => {
                of_image(image);
                (Save::Strip { run: run.clone(), image }, "-strip")
            }
            Export::Flipbook { format } => {
                ending = format.ending();
                (Save::Flipbook { pictures: pictures.clone(), format }, "-animation")
            }
        };
        let what = match slot {
            Slot::Between => "-between",
            Slot::Denoise => "-denoised",
            _ => "",
        };
        let file_name = format!("synthetic-xray-seed{seed}{}{what}{suffix}.{ending}", self.named(run));
        self.plan(JobKind::Save { file_name }, Task::Save { save, origin }, false)
    }

    /// What tells two images of one seed apart in the names of their files: class, steps, and a sampler of its own.
    fn named(&self, run: &Run) -> String {
        let Settings { class, steps, sampler, .. } = &run.settings;
        let name = |class| {
            let model = self.model.as_ref()?;
            let names = model.config.classes().names(class as usize, &model.provenance.attributes);
            Some(plain(&names.concat())).filter(|name| !name.is_empty())
        };
        let class =
            class.map(|class| name(class).map_or_else(|| format!("-class{class}"), |name| ["-", &name].concat()));
        let sampler = (*sampler != Sampler::default()).then(|| ["-", sampler.name()].concat());
        format!("{}-steps{steps}{}", class.unwrap_or_default(), sampler.unwrap_or_default())
    }
}

/// Letters and digits of a text, for the name of a file.
fn plain(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
}

fn origin(run: &Run, model: &ModelInfo) -> Origin {
    let mut settings = run.describe();
    settings.push(("backend".to_owned(), model.backend.kind.name().to_owned()));
    Origin {
        software: concat!("medical-vdm web ", env!("CARGO_PKG_VERSION")).to_owned(),
        weights: model.provenance.name.clone(),
        weights_sha256: model.sha256.clone(),
        settings,
    }
}
