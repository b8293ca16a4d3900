//! Effects at their instants, one after another: the live counterpart of the virtual world's script.

use std::sync::Arc;

use super::door::Door;
use super::server::Backend;
use super::{World, lock};
use crate::backend::server::ErrorRule;
use crate::base::id::BackendId;
use crate::base::rand::Chance;
use crate::base::time::Instant;
use crate::fault::effect::{Cause, Effect, ErrorLaw};
use crate::record::event::Record;

/// The backends with their doors, and what lasts on each.
#[derive(Debug)]
pub(super) struct Stage {
    world: Arc<World>,
    script: Vec<(Instant, Effect)>,
    props: Vec<Prop>,
}

#[derive(Debug)]
struct Prop {
    backend: Arc<Backend>,
    door: Door,
    /// Lasting changes, by the fault that made them.
    slow: Vec<(Cause, f64)>,
    capacity: Vec<(Cause, f64)>,
    freezes: Vec<(Cause, ())>,
    errors: Vec<(Cause, ErrorLaw)>,
}

impl Stage {
    /// All backends; the doors of those that are there from the start are open.
    pub(super) fn new(
        world: &Arc<World>,
        backends: &[Arc<Backend>],
        script: &[(Instant, Effect)],
    ) -> std::io::Result<Stage> {
        let prop = |backend: &Arc<Backend>| {
            let mut door = Door::new(backend.clone())?;
            if backend.answers() {
                door.open()?;
            }
            let backend = backend.clone();
            Ok(Prop { backend, door, slow: vec![], capacity: vec![], freezes: vec![], errors: vec![] })
        };
        let props: std::io::Result<Vec<Prop>> = backends.iter().map(prop).collect();
        Ok(Stage { world: world.clone(), script: script.to_vec(), props: props? })
    }

    /// One effect of the script.
    pub(super) async fn play(&mut self, number: u32) -> std::io::Result<()> {
        self.announce(number);
        match self.script[number as usize].1.clone() {
            Effect::Down { backend, .. } => self.go_down(backend).await,
            Effect::Up { backend } => self.come_up(backend),
            effect => {
                self.change(effect);
                Ok(())
            }
        }
    }

    fn announce(&self, number: u32) {
        let mut log = lock(&self.world.log);
        log.count_event();
        log.put(self.world.clock.now(), Record::Effect { number });
    }

    async fn go_down(&mut self, backend: BackendId) -> std::io::Result<()> {
        let prop = &mut self.props[backend.index()];
        if prop.backend.die() { prop.door.shut().await } else { Ok(()) }
    }

    fn come_up(&mut self, backend: BackendId) -> std::io::Result<()> {
        let prop = &mut self.props[backend.index()];
        if prop.backend.rise() { prop.door.open() } else { Ok(()) }
    }

    fn change(&mut self, effect: Effect) {
        match effect {
            Effect::Slow { backend, cause, factor } => {
                let prop = &mut self.props[backend.index()];
                stack(&mut prop.slow, cause, factor);
                let product = prop.slow.iter().map(|(_, factor)| factor).product();
                prop.backend.change(|now, state| state.model.set_slow(now, product));
            }
            Effect::Capacity { backend, cause, fraction } => {
                let prop = &mut self.props[backend.index()];
                stack(&mut prop.capacity, cause, fraction);
                let product = prop.capacity.iter().map(|(_, fraction)| fraction).product();
                prop.backend.change(|now, state| state.model.set_workers(now, product));
            }
            Effect::Errors { backend, cause, law } => {
                let prop = &mut self.props[backend.index()];
                stack(&mut prop.errors, cause, law);
                // The fault that came last speaks.
                let rule = prop.errors.last().map(|(_, law)| ErrorRule {
                    chance: Chance::new(law.probability),
                    status: law.status,
                    latency: law.latency,
                });
                prop.backend.change(|_, state| state.model.set_errors(rule));
            }
            Effect::Freeze { backend, cause, on } => {
                let prop = &mut self.props[backend.index()];
                stack(&mut prop.freezes, cause, on.then_some(()));
                let frozen = !prop.freezes.is_empty();
                prop.backend.change(|now, state| {
                    state.frozen = frozen;
                    state.model.set_frozen(now, frozen);
                });
            }
            // These are in the schedule of the calls; everything else was refused.
            _ => {}
        }
    }
}

/// Sets or ends one lasting change among those that stack.
fn stack<T>(all: &mut Vec<(Cause, T)>, cause: Cause, value: Option<T>) {
    all.retain(|(by, _)| *by != cause);
    all.extend(value.map(|value| (cause, value)));
}
