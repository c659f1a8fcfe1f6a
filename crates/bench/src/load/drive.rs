//! Runs the load: each connection takes the next slot as soon as it is free.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use service_kit::retry::outage::Outage;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{interval, sleep};

use super::connection::{Answer, Channel, Target};
use super::hooks::Hooks;
use super::pacer::Pacer;
use super::replays::Orders;
use super::schedule::Schedule;
use super::tally::{Outcome, TRANSPORT, Tally};
use crate::failure::Failure;

/// Interval between two updates of the progress bar.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);
/// Pause after a transport error, so that an unavailable API does not use a whole core.
const PAUSE: Duration = Duration::from_millis(100);

/// The parameters of the load.
pub(crate) struct Plan {
    pub(crate) schedule: Schedule,
    pub(crate) connections: usize,
    pub(crate) repeat_percent: u8,
    pub(crate) hooks: Hooks,
}

/// State that the connections share. All run on one thread.
struct Shared {
    started: Instant,
    pacer: Pacer,
    target: Target,
    schedule: RefCell<Schedule>,
    orders: RefCell<Orders>,
    tally: RefCell<Tally>,
    outage: RefCell<Outage>,
    hooks: Hooks,
}

/// The result of the load.
pub(crate) struct LoadResult {
    pub(crate) tally: Tally,
    /// Duration of the measurement: as planned, or less if it was interrupted.
    pub(crate) measured: Duration,
    pub(crate) interrupted: bool,
}

/// Runs the load on this thread until its end or an interrupt. Requests in progress are completed.
pub(crate) fn run(
    plan: Plan,
    target: Target,
    bar: &ProgressBar,
    interrupt: impl AsyncFn() -> io::Result<()>,
) -> Result<LoadResult, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, drive(plan, target, bar, interrupt))
}

async fn drive(
    plan: Plan,
    target: Target,
    bar: &ProgressBar,
    interrupt: impl AsyncFn() -> io::Result<()>,
) -> Result<LoadResult, Failure> {
    let started = Instant::now();
    let shared = Rc::new(Shared {
        started,
        pacer: Pacer::start(&plan.schedule, plan.hooks.gate.clone(), started, plan.connections),
        target,
        tally: RefCell::new(Tally::new(&plan.schedule)?),
        schedule: RefCell::new(plan.schedule),
        orders: RefCell::new(Orders::new(plan.repeat_percent)),
        outage: RefCell::new(Outage::of("sales API")),
        hooks: plan.hooks,
    });
    let mut connections = JoinSet::new();
    for _ in 0..plan.connections {
        connections.spawn_local(Rc::clone(&shared).work());
    }
    let mut progress = interval(PROGRESS_INTERVAL);
    let mut interrupts = 0;
    loop {
        tokio::select! {
            ended = connections.join_next() => match ended {
                Some(Err(error)) if error.is_cancelled() => {}
                Some(ended) => ended?,
                None => break,
            },
            // An interrupt that lasts would keep this loop from waiting for the connections.
            interrupted = interrupt(), if interrupts < 2 => {
                interrupted?;
                interrupts += 1;
                // The second one does not wait for the responses.
                if interrupts == 2 {
                    connections.abort_all();
                }
                shared.schedule.borrow_mut().stop(started.elapsed());
                shared.pacer.stop();
            }
            _ = progress.tick() => {
                bar.set_position(started.elapsed().as_secs());
                bar.set_message(format!("s, {} succeeded", shared.tally.borrow().succeeded));
            }
        }
    }
    let shared = Rc::into_inner(shared).ok_or("a connection is still in use")?;
    shared.pacer.join();
    let (mut tally, schedule) = (shared.tally.into_inner(), shared.schedule.into_inner());
    tally.unsent(schedule.unsent());
    Ok(LoadResult { tally, measured: schedule.measured(), interrupted: schedule.is_stopped() })
}

impl Shared {
    /// Runs one connection until no slot is left.
    async fn work(self: Rc<Self>) {
        let mut channel = Channel::new(&self.target, self.hooks.created.is_some());
        loop {
            tokio::select! {
                biased;
                () = self.pacer.due() => {}
                never = channel.watch() => match never {},
            }
            let Some(slot) = self.schedule.borrow_mut().take(self.started.elapsed()) else {
                return;
            };
            let order = self.orders.borrow_mut().next();
            let answer = channel.place(order.number).await;
            let now = self.started.elapsed();
            let (outcome, broken) = match answer {
                Ok(Answer { outcome, order_id }) => {
                    if let (Some(id), Some(created), true) =
                        (order_id, &self.hooks.created, slot.counted)
                    {
                        created.add(id, self.started + now);
                    }
                    (outcome, None)
                }
                Err(error) => (Outcome::Failed(TRANSPORT.to_owned()), Some(error)),
            };
            if !matches!(outcome, Outcome::Failed(_)) {
                self.orders.borrow_mut().placed(order);
            }
            self.tally.borrow_mut().ended(slot, order, outcome, now);
            if let Some(error) = broken {
                self.outage.borrow_mut().failed(&error);
                sleep(PAUSE).await;
            } else {
                self.outage.borrow_mut().over();
            }
        }
    }
}
