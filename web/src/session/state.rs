//! The state of the page, and questions about it.

use std::collections::VecDeque;

use vdm::cost::Speed;

use super::parts::{Choice, DiffusedAt, Job, JobKind, Loading, Measured, Notice, Panel, Phase, Plan, Slot};
use crate::manifest::{Manifest, ModelEntry};
use crate::protocol::{BackendPreference, ModelInfo, Verdict};
use crate::toy::Progress;

/// The page's state.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// The connection to a model.
    pub phase: Phase,
    /// The loaded model; none until the worker has one.
    pub model: Option<ModelInfo>,
    /// The job that the worker does.
    pub job: Option<Job>,
    /// The last result of the forward process.
    pub diffused: Option<DiffusedAt>,
    /// The last measured bound.
    pub measured: Option<Measured>,
    /// How long the model takes on this device, if that was measured.
    pub speed: Option<Speed>,
    /// The places on the map of the pictures that were completed, as many as it can show.
    pub drawn: Vec<[f64; 2]>,
    /// The last file that was verified: its name, and what it turned out to be.
    pub verified: Option<(String, Verdict)>,
    /// How far the small model is that learns, or was when it was stopped.
    pub learned: Option<Progress>,
    /// News beside the present state.
    pub notice: Option<Notice>,
    /// The list of the site's models, once it is fetched.
    pub manifest: Option<Manifest>,
    /// The chosen weights.
    pub choice: Choice,
    pub(super) panels: [Option<Panel>; Slot::ALL.len()],
    /// The complete images that a run in a slot replaces, until it is complete itself.
    pub(super) previous: [Option<Panel>; Slot::ALL.len()],
    /// The weights of the switch that runs.
    pub(super) wanted: Option<Choice>,
    /// Jobs after the present one.
    pub(super) plans: VecDeque<Plan>,
    /// The last place of each slider, until the present job ends.
    pub(super) next_quick: VecDeque<Plan>,
    /// The address of the folder of weights, with a slash at its end.
    pub(super) weights_url: String,
    pub(super) preference: BackendPreference,
    /// The start of the hash of a link's weights.
    pub(super) expected_hash: Option<String>,
    /// The number of workers started. Messages of earlier ones are ignored.
    pub(super) generation: u32,
    /// Whether the present worker has sent a message.
    pub(super) greeted: bool,
    /// Whether files are fetched past the browser's cache.
    pub(super) fresh: bool,
    pub(super) jobs: u32,
}

impl Session {
    /// A session before [`Event::Open`](super::Event::Open).
    ///
    /// `weights_url` is the folder of weights, with a slash at its end. `expected_hash` is the start of the hash in the
    /// page's address, if there is one.
    pub fn new(weights_url: String, preference: BackendPreference, expected_hash: Option<String>) -> Self {
        Self {
            phase: Phase::Loading(Loading::Starting),
            model: None,
            job: None,
            diffused: None,
            measured: None,
            speed: None,
            drawn: Vec::new(),
            verified: None,
            learned: None,
            notice: None,
            manifest: None,
            choice: Choice::Site(None),
            panels: Default::default(),
            previous: Default::default(),
            wanted: None,
            plans: VecDeque::new(),
            next_quick: VecDeque::new(),
            weights_url,
            preference,
            expected_hash,
            generation: 0,
            greeted: false,
            fresh: false,
            jobs: 0,
        }
    }

    /// The content of a slot.
    pub fn panel(&self, slot: Slot) -> Option<&Panel> {
        self.panels[slot as usize].as_ref()
    }

    /// The running job, if it fills this slot.
    pub fn filling(&self, slot: Slot) -> Option<&Job> {
        self.job.as_ref().filter(|job| job.plan.kind == JobKind::Fill(slot))
    }

    /// Whether a job can be started: a model is there, and nothing runs except what follows a slider.
    pub fn is_idle(&self) -> bool {
        self.phase == Phase::Ready && self.job.as_ref().is_none_or(|job| job.plan.kind.is_quick())
    }

    /// Whether there is a job or a download to cancel.
    pub fn can_cancel(&self) -> bool {
        self.job.as_ref().is_some_and(|job| !job.stopping && (!job.plan.kind.is_quick() || job.fetching.is_some()))
    }

    /// Whether the images of a slot are complete, and a worker can encode them.
    pub fn can_save(&self, slot: Slot) -> bool {
        self.is_idle() && self.is_whole(slot)
    }

    /// Whether the images of a slot are complete.
    pub fn is_whole(&self, slot: Slot) -> bool {
        self.panel(slot).is_some_and(|panel| panel.origin.is_some())
    }

    /// Whether the images of a slot are complete, and the weights in use made them: other moments can be computed.
    pub fn is_of_model(&self, slot: Slot) -> bool {
        let origin = self.panel(slot).and_then(|panel| panel.origin.as_ref());
        let model = self.model.as_ref();
        origin.zip(model).is_some_and(|(origin, model)| origin.weights_sha256 == model.sha256)
    }

    /// The state as a word for attributes: `loading`, `ready`, `busy`, `sampling`, `done` or `failed`.
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

    /// The share of the present work that is done, in [0, 1]; none if nothing runs or it is unknown.
    pub fn progress(&self) -> Option<f64> {
        let share = |done: u64, of: u64| (of > 0).then(|| done as f64 / of as f64);
        match (&self.phase, &self.job) {
            (Phase::Loading(Loading::Weights { received, total }), _) => share(*received, *total),
            (Phase::Ready, Some(job)) => match job.fetching {
                Some((received, total)) => share(received, total),
                None => share(job.step.into(), job.of.into()),
            },
            _ => None,
        }
    }

    /// The entry of the site's model in use, once the list of weights is fetched.
    pub fn entry(&self) -> Option<&ModelEntry> {
        let Choice::Site(name) = &self.choice else { return None };
        let manifest = self.manifest.as_ref()?;
        let named = name.as_ref().and_then(|name| manifest.models.iter().find(|model| model.name == *name));
        Some(named.unwrap_or(manifest.default_model()))
    }

    /// The start of the addresses of the example images; a seed and `.png` follow. None if the site has no examples.
    pub fn example_pictures(&self) -> Option<String> {
        let entry = self.entry().filter(|entry| !entry.examples.is_empty())?;
        Some(format!("{}{}-", self.weights_url, entry.name))
    }

    /// The address of the model card, if the site has one.
    pub fn card_url(&self) -> Option<String> {
        Some(format!("{}{}", self.weights_url, self.entry()?.card.as_ref()?))
    }

    /// The address of the model card as HTML: [`card_url`](Self::card_url) with another ending.
    pub fn rendered_card_url(&self) -> Option<String> {
        Some(format!("{}.html", self.card_url()?.strip_suffix(".md")?))
    }

    /// The folder of weights, with a slash at its end.
    pub fn weights_url(&self) -> &str {
        &self.weights_url
    }

    /// Whether the worker of this generation is in use and has not sent a message yet.
    pub fn awaits_greeting(&self, generation: u32) -> bool {
        generation == self.generation && !self.greeted
    }
}
