//! The state of the page, and what can be asked of it.

use std::collections::VecDeque;

use vdm::cost::Speed;

use super::parts::{Choice, DiffusedAt, Job, JobKind, Loading, Measured, Notice, Panel, Phase, Plan, Slot};
use crate::manifest::{Manifest, ModelEntry};
use crate::protocol::{BackendPreference, ModelInfo, Task};

/// The page's state.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// The connection to a model.
    pub phase: Phase,
    /// The loaded model; none until the worker has one.
    pub model: Option<ModelInfo>,
    /// What the worker does.
    pub job: Option<Job>,
    /// The forward process, where the slider is or was.
    pub diffused: Option<DiffusedAt>,
    /// The bound that was measured last.
    pub measured: Option<Measured>,
    /// How long the model takes here, if that was measured.
    pub speed: Option<Speed>,
    /// Something to tell beside what is going on.
    pub notice: Option<Notice>,
    /// The site's models, once their list is there.
    pub manifest: Option<Manifest>,
    /// Where the model comes from.
    pub choice: Choice,
    pub(super) panels: [Option<Panel>; Slot::ALL.len()],
    /// The choice that is being switched to.
    pub(super) wanted: Option<Choice>,
    /// What follows the present job.
    pub(super) plans: VecDeque<Plan>,
    /// Where a slider has moved to meanwhile.
    pub(super) next_quick: Option<Plan>,
    /// Address of the folder of weights, ending in a slash.
    pub(super) weights_url: String,
    pub(super) preference: BackendPreference,
    /// The start of the hash that a link names.
    pub(super) expected_hash: Option<String>,
    /// Counts the workers that were started; what a discarded one still says is not heard.
    pub(super) generation: u32,
    /// Whether the present worker has spoken.
    pub(super) greeted: bool,
    /// Ask the server for files, whatever the browser has kept.
    pub(super) fresh: bool,
    pub(super) jobs: u32,
}

impl Session {
    /// A session before [`Event::Open`](super::Event::Open).
    ///
    /// `weights_url` is the folder of weights and ends in a slash; `expected_hash` is the start of the hash that the
    /// page's address names, if it does.
    pub fn new(weights_url: String, preference: BackendPreference, expected_hash: Option<String>) -> Self {
        Self {
            phase: Phase::Loading(Loading::Starting),
            model: None,
            job: None,
            diffused: None,
            measured: None,
            speed: None,
            notice: None,
            manifest: None,
            choice: Choice::Site(None),
            panels: Default::default(),
            wanted: None,
            plans: VecDeque::new(),
            next_quick: None,
            weights_url,
            preference,
            expected_hash,
            generation: 0,
            greeted: false,
            fresh: false,
            jobs: 0,
        }
    }

    /// What stands in a slot.
    pub fn panel(&self, slot: Slot) -> Option<&Panel> {
        self.panels[slot as usize].as_ref()
    }

    /// The job that fills a slot, if that is what runs.
    pub fn filling(&self, slot: Slot) -> Option<&Job> {
        self.job.as_ref().filter(|job| job.plan.kind == JobKind::Fill(slot))
    }

    /// Whether something can be asked for: a model is there, and nothing runs but what follows a slider.
    pub fn is_idle(&self) -> bool {
        self.phase == Phase::Ready && self.job.as_ref().is_none_or(|job| job.plan.kind.is_quick())
    }

    /// Whether there is something to stop.
    pub fn can_cancel(&self) -> bool {
        self.job.as_ref().is_some_and(|job| !job.stopping && (!job.plan.kind.is_quick() || job.fetching.is_some()))
    }

    /// Whether the images of a slot are whole, and a worker is there to encode them.
    pub fn can_save(&self, slot: Slot) -> bool {
        self.is_idle() && self.is_whole(slot)
    }

    /// Whether the images of a slot are whole.
    pub fn is_whole(&self, slot: Slot) -> bool {
        self.panel(slot).is_some_and(|panel| panel.origin.is_some())
    }

    /// One word for what goes on, for attributes: `loading`, `ready`, `busy`, `sampling`, `done` or `failed`.
    pub fn state_name(&self) -> &'static str {
        match (&self.phase, &self.job) {
            (Phase::Loading(_), _) => "loading",
            (Phase::Failed(_), _) => "failed",
            (Phase::Ready, Some(Job { plan: Plan { kind: JobKind::Fill(_), .. }, .. })) => "sampling",
            (Phase::Ready, Some(job)) if !job.plan.kind.is_quick() => "busy",
            (Phase::Ready, _) if Slot::ALL.into_iter().any(|slot| self.is_whole(slot)) => "done",
            (Phase::Ready, _) => "ready",
        }
    }

    /// How much of the present work is done, in [0, 1]; none where nothing runs or nobody knows.
    pub fn progress(&self) -> Option<f64> {
        let share = |done: u64, of: u64| (of > 0).then(|| done as f64 / of as f64);
        match (&self.phase, &self.job) {
            (Phase::Loading(Loading::Weights { received, total }), _) => share(*received, *total),
            (Phase::Ready, Some(job)) => match (job.fetching, &job.plan.task) {
                (Some((received, total)), _) => share(received, total),
                (None, Task::Run(run)) => share(job.step.into(), run.steps().into()),
                _ => None,
            },
            _ => None,
        }
    }

    /// The entry of the site's model in use, once the list of weights is there.
    pub fn entry(&self) -> Option<&ModelEntry> {
        let Choice::Site(name) = &self.choice else { return None };
        let manifest = self.manifest.as_ref()?;
        let named = name.as_ref().and_then(|name| manifest.models.iter().find(|model| model.name == *name));
        Some(named.unwrap_or(manifest.default_model()))
    }

    /// The address of the model card, where the site has one.
    pub fn card_url(&self) -> Option<String> {
        Some(format!("{}{}", self.weights_url, self.entry()?.card.as_ref()?))
    }

    /// The address of the model card as HTML: [`card_url`](Self::card_url) with another ending.
    pub fn rendered_card_url(&self) -> Option<String> {
        Some(format!("{}.html", self.card_url()?.strip_suffix(".md")?))
    }

    /// The folder of weights, ending in a slash.
    pub fn weights_url(&self) -> &str {
        &self.weights_url
    }

    /// Whether the worker of this generation is in use, and has not spoken yet.
    pub fn awaits_greeting(&self, generation: u32) -> bool {
        generation == self.generation && !self.greeted
    }
}
