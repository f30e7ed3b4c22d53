//! The states of the page, and the transitions between them.
//!
//! [`Session::apply`] takes an [`Event`] and answers with [`Command`]s, which `page::controller` carries out.

mod connection;
mod event;
mod jobs;
mod parts;
mod state;
#[cfg(test)]
mod tests;

pub use self::event::{Command, Event, PATIENCE_SECONDS};
pub use self::parts::{
    Choice, DiffusedAt, Export, FRAMES, Frame, Job, JobKind, Loading, Measured, Notice, Panel, Phase, Plan, Slot,
};
pub use self::state::Session;
use crate::protocol::{PROTOCOL_VERSION, Problem, Response};

impl Session {
    /// Moves to the next state.
    pub fn apply(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::Open => self.restart(),
            Event::Manifest(generation, _) | Event::Worker(generation, _) if generation != self.generation => {
                Vec::new()
            }
            Event::Manifest(_, Ok(manifest)) => {
                self.choose_of_link(&manifest);
                self.manifest = Some(manifest);
                self.load()
            }
            Event::Manifest(_, Err(problem)) => self.fail(problem),
            Event::Worker(_, response) => self.on_worker_message(response),
            Event::Overdue(job) => self.on_timeout(job),
            Event::Recover => self.recover(),
            Event::Refuse(problem) => {
                self.notice = Some(Notice::Failed(problem));
                Vec::new()
            }
            Event::Tell(notice) => {
                self.notice = Some(notice);
                Vec::new()
            }
            Event::CloseNotice => {
                self.notice = None;
                Vec::new()
            }
            Event::Use(choice) if self.model.is_none() => {
                // There is no model to fall back to: files that cannot be used are a failure to recover from.
                self.choice = choice;
                self.restart()
            }
            event => self.on_user_event(event),
        }
    }

    fn on_worker_message(&mut self, response: Response) -> Vec<Command> {
        match response {
            Response::Hello { protocol } => {
                self.greeted = true;
                if protocol != PROTOCOL_VERSION {
                    return self.fail(Problem::VersionMismatch);
                }
                // The worker is late. The request to load waits for it.
                if matches!(self.phase, Phase::Failed(Problem::WorkerSilent { .. })) {
                    self.phase = Phase::Loading(Loading::Starting);
                }
                Vec::new()
            }
            Response::Progress { received, total } => {
                self.show_download(Loading::Weights { received, total }, Some((received, total)));
                Vec::new()
            }
            Response::Preparing => {
                self.show_download(Loading::Preparing, None);
                Vec::new()
            }
            Response::Loaded(model) => {
                self.adopt(*model);
                self.fresh = false;
                self.phase = Phase::Ready;
                // A job that a failure of the GPU interrupted comes first.
                self.start_next()
            }
            Response::Failed { job: None, problem } => self.fail(problem),
            answer => self.on_job_message(answer),
        }
    }

    /// A download belongs to the first loading of a model or to a job. What comes after a job has ended is late.
    fn show_download(&mut self, loading: Loading, fetching: Option<(u64, u64)>) {
        match (&self.phase, &mut self.job) {
            (Phase::Ready, Some(job)) => job.fetching = fetching,
            (Phase::Ready, None) => {}
            _ => self.phase = Phase::Loading(loading),
        }
    }
}
