//! The queue of jobs, and the control of the running one.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use gloo_timers::future::TimeoutFuture;

use super::guard;
use super::outbox::Outbox;
use crate::engine::{Host, StepTaken};
use crate::protocol::{Control, Response, Task};

/// A job that waits or runs.
pub(super) struct Job {
    pub(super) id: u32,
    pub(super) task: Task,
    flow: Rc<Cell<Flow>>,
}

/// What a job does after its present step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Go,
    Wait,
    /// One step, then wait.
    Once,
    End,
}

/// The jobs that have not ended.
#[derive(Clone, Default)]
pub(super) struct Jobs {
    waiting: Rc<RefCell<VecDeque<Job>>>,
    flows: Rc<RefCell<HashMap<u32, Rc<Cell<Flow>>>>>,
    working: Rc<Cell<bool>>,
}

impl Jobs {
    /// Puts a job at the end of the queue; returns whether the work must be started.
    pub(super) fn add(&self, id: u32, task: Task, paused: bool) -> bool {
        let flow = Rc::new(Cell::new(if paused { Flow::Wait } else { Flow::Go }));
        self.flows.borrow_mut().insert(id, Rc::clone(&flow));
        self.waiting.borrow_mut().push_back(Job { id, task, flow });
        !self.working.replace(true)
    }

    /// The next job; with none, the work ends.
    pub(super) fn next(&self) -> Option<Job> {
        let next = self.waiting.borrow_mut().pop_front();
        self.working.set(next.is_some());
        next
    }

    /// Removes a job that has ended.
    pub(super) fn end(&self, id: u32) {
        self.flows.borrow_mut().remove(&id);
    }

    pub(super) fn control(&self, id: u32, control: Control) {
        if let Some(flow) = self.flows.borrow().get(&id)
            && flow.get() != Flow::End
        {
            flow.set(match control {
                Control::Cancel => Flow::End,
                Control::Pause => Flow::Wait,
                Control::Resume => Flow::Go,
                Control::Step => Flow::Once,
            });
        }
    }
}

/// Reports the steps of a job to the page, and lets its messages in.
pub(super) struct JobHost {
    job: u32,
    flow: Rc<Cell<Flow>>,
    outbox: Outbox,
    start_ms: Cell<f64>,
    reported_ms: Cell<f64>,
    /// When the job last took a step, or waited.
    moved_ms: Cell<f64>,
    yielded_ms: Cell<f64>,
}

impl JobHost {
    /// How often steps without a picture are reported.
    const REPORT_EVERY_MS: f64 = 50.0;
    /// How often messages are let in. A timer of 0 ms takes 4 ms in a browser, too long for each short step.
    const YIELD_EVERY_MS: f64 = 16.0;
    /// How often a paused job checks whether to go on.
    const CHECK_EVERY_MS: u32 = 15;

    pub(super) fn new(job: &Job, outbox: Outbox) -> Self {
        let now = Cell::new(guard::now_ms());
        let flow = Rc::clone(&job.flow);
        Self {
            job: job.id,
            flow,
            outbox,
            start_ms: now.clone(),
            reported_ms: now.clone(),
            moved_ms: now.clone(),
            yielded_ms: now,
        }
    }

    /// Milliseconds since the job last took a step.
    pub(super) fn still_ms(&self) -> f64 {
        guard::now_ms() - self.moved_ms.get()
    }

    /// The number of the job.
    pub(super) fn job(&self) -> u32 {
        self.job
    }

    /// Whether the job waits for the user.
    pub(super) fn is_paused(&self) -> bool {
        self.flow.get() == Flow::Wait
    }

    /// Whether the job was cancelled.
    pub(super) fn is_cancelled(&self) -> bool {
        self.flow.get() == Flow::End
    }
}

impl Host for JobHost {
    fn elapsed_ms(&self) -> f64 {
        guard::now_ms() - self.start_ms.get()
    }

    fn on_step(&self, taken: StepTaken) {
        let now = guard::now_ms();
        // Step by step, each one is shown.
        let last = taken.step == taken.of || self.flow.get() != Flow::Go;
        if taken.pictures.is_empty() && now - self.reported_ms.get() < Self::REPORT_EVERY_MS && !last {
            return;
        }
        self.reported_ms.set(now);
        let StepTaken { step, of, t, pictures, noisy } = taken;
        let elapsed_ms = self.elapsed_ms();
        self.outbox.send(Response::Step { job: self.job, step, of, t, elapsed_ms, pictures, noisy });
    }

    async fn should_continue(&self) -> bool {
        let now = guard::now_ms();
        if now - self.yielded_ms.get() >= Self::YIELD_EVERY_MS {
            TimeoutFuture::new(0).await;
            self.yielded_ms.set(guard::now_ms());
        }
        if self.flow.get() == Flow::Wait {
            let paused_ms = guard::now_ms();
            while self.flow.get() == Flow::Wait {
                TimeoutFuture::new(Self::CHECK_EVERY_MS).await;
                self.moved_ms.set(guard::now_ms());
            }
            // A pause does not count as time of the job.
            self.start_ms.set(self.start_ms.get() + guard::now_ms() - paused_ms);
        }
        self.moved_ms.set(guard::now_ms());
        if self.flow.get() == Flow::Once {
            self.flow.set(Flow::Wait);
        }
        self.flow.get() != Flow::End
    }
}
