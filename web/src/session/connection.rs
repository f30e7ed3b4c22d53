//! The worker and the model in it: started, loaded, replaced after a failure.

use super::event::Command;
use super::parts::{Choice, Loading, Notice, Phase};
use super::state::Session;
use crate::manifest::{Manifest, WeightsFile};
use crate::protocol::{BackendKind, BackendPreference, FileRequest, ModelInfo, Problem, Recovery, Request, Source};

impl Session {
    pub(super) fn adopt(&mut self, model: ModelInfo) {
        if let Some(hash) = self.expected_hash.take()
            && !model.has_hash(&hash)
        {
            self.notice = Some(Notice::OtherWeights { sha256: hash });
        }
        self.model = Some(model);
    }

    /// A link names its weights: if the site has them, they are used.
    pub(super) fn choose_of_link(&mut self, manifest: &Manifest) {
        if self.choice == Choice::Site(None)
            && let Some(hash) = &self.expected_hash
            && let Some(model) = manifest.by_hash(hash)
        {
            self.choice = Choice::Site(Some(model.name.clone()));
        }
    }

    pub(super) fn recover(&mut self) -> Vec<Command> {
        let Phase::Failed(problem) = &self.phase else { return Vec::new() };
        match problem.recovery() {
            Recovery::ReloadPage => vec![Command::ReloadPage],
            Recovery::UseCpu => {
                self.preference = BackendPreference::Cpu;
                self.restart()
            }
            // `Dismiss` here means that a user's own model failed before any was loaded: go on with the site's.
            Recovery::Retry | Recovery::Dismiss => {
                if matches!(self.choice, Choice::Own(_)) {
                    self.choice = Choice::Site(None);
                }
                self.fresh = true;
                self.manifest = None;
                self.restart()
            }
        }
    }

    /// Handles a failure of the whole worker.
    pub(super) fn fail(&mut self, problem: Problem) -> Vec<Command> {
        let tries_gpu = matches!(self.preference, BackendPreference::Auto | BackendPreference::WebGpu);
        let on_gpu = self.model.as_ref().is_none_or(|model| model.backend.kind == BackendKind::WebGpu);
        let job = self.job.take();
        self.restore(job.as_ref());
        if tries_gpu && on_gpu && self.greeted && problem.may_be_the_gpu() {
            if let Some(job) = job.filter(|job| !job.stopping) {
                self.plans.push_front(job.plan);
            }
            self.preference = BackendPreference::CpuAfterGpuFailure;
            self.notice = Some(Notice::MovedToCpu(problem));
            return self.restart();
        }
        self.model = None;
        self.plans.clear();
        self.next_quick.clear();
        self.phase = Phase::Failed(problem);
        Vec::new()
    }

    /// Starts a new worker and loads the model into it.
    pub(super) fn restart(&mut self) -> Vec<Command> {
        self.generation += 1;
        self.greeted = false;
        self.job = None;
        self.phase = Phase::Loading(Loading::Starting);
        let mut commands = vec![Command::StartWorker { generation: self.generation }];
        if self.manifest.is_some() {
            commands.extend(self.load());
        } else {
            commands.push(Command::FetchManifest { generation: self.generation, fresh: self.fresh });
        }
        commands
    }

    pub(super) fn load(&mut self) -> Vec<Command> {
        let Some(source) = self.source(&self.choice) else { return Vec::new() };
        let keep = self.manifest.as_ref().map(Manifest::hashes);
        vec![Command::Send(Request::Load { source, preference: self.preference, keep })]
    }

    /// The files of a choice; none before the list of weights is fetched.
    pub(super) fn source(&self, choice: &Choice) -> Option<Source> {
        let name = match choice {
            Choice::Own(source) => return Some(source.clone()),
            Choice::Site(name) => name,
        };
        let manifest = self.manifest.as_ref()?;
        let named = name.as_ref().and_then(|name| manifest.models.iter().find(|model| model.name == *name));
        let model = named.unwrap_or(manifest.default_model());
        let file = |file: &WeightsFile| FileRequest {
            url: format!("{}{}", self.weights_url, file.file),
            name: file.file.clone(),
            bytes: file.bytes,
            sha256: Some(file.sha256.clone()),
            fresh: self.fresh,
        };
        Some(Source { files: vec![file(&model.sampling)], encoder: model.encoder.as_ref().map(file) })
    }
}
