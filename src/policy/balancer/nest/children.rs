//! One child balancer for each group of endpoints.

use std::collections::BTreeMap;

use crate::base::id::{EndpointId, ZoneId};
use crate::base::metadata::Metadata;
use crate::base::slots::Slots;
use crate::base::time::Instant;
use crate::policy::balancer::catalog::{Context, Spec};
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request, Want};
use crate::policy::endpoints::{Connectivity, Eligible, Endpoint, Health};

/// Children alike, one for each group: a zone, a region, whatever number the parent gives an endpoint.
pub struct Children {
    spec: Spec,
    context: Context,
    connects_all: bool,
    only_picks: bool,
    heeds_health: bool,
    /// All endpoints are one group, whose child draws what it would draw without a parent.
    is_sole: bool,
    groups: BTreeMap<u32, Child>,
    /// The group of each endpoint. One that has left keeps its entry until its place is used again, so what is
    /// learned late still finds its way.
    owners: Slots<u32>,
}

impl Children {
    /// No group yet. Each child will get a seed of its own, by the number of its group.
    pub fn new(spec: &Spec, context: &Context) -> Children {
        let child = spec.build(&context.child("child"));
        Children {
            connects_all: child.connects_all(),
            only_picks: child.only_picks(),
            heeds_health: child.heeds_health(),
            is_sole: false,
            spec: spec.clone(),
            context: context.clone(),
            groups: BTreeMap::new(),
            owners: Slots::new(),
        }
    }

    /// The same for a parent that makes one group of all endpoints: while its only child takes all calls, they are the
    /// calls that it would get without a parent.
    pub fn sole(spec: &Spec, context: &Context) -> Children {
        Children { is_sole: true, ..Children::new(spec, context) }
    }

    /// Shares the endpoints out, and tells the children for whom something has changed. A group that has lost all
    /// its endpoints stays, empty.
    pub fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>, group_of: impl Fn(&Endpoint) -> u32) {
        self.on_endpoints_eligible(now, endpoints, group_of, |_| Eligible::Ready);
    }

    /// The same; the child of a group is shown those of its endpoints as ready that are eligible there.
    pub fn on_endpoints_eligible(
        &mut self,
        now: Instant,
        endpoints: &Endpoints<'_>,
        group_of: impl Fn(&Endpoint) -> u32,
        eligible: impl Fn(u32) -> Eligible,
    ) {
        for (group, child) in &mut self.groups {
            child.begin(eligible(*group));
        }
        for endpoint in endpoints.members.iter().filter_map(|id| endpoints.get(*id)) {
            let group = group_of(endpoint);
            self.owners.insert(endpoint.id, group);
            let context = &self.context;
            let build = || {
                let alone = self.is_sole.then(|| context.clone());
                let context = alone.unwrap_or_else(|| context.child(&format!("child/{group}")));
                Child { eligible: eligible(group), ..Child::new(self.spec.build(&context)) }
            };
            let child = self.groups.entry(group).or_insert_with(build);
            child.add(endpoint, endpoints);
        }
        for id in endpoints.ready {
            if let Some(child) = self.owners.get(*id).and_then(|group| self.groups.get_mut(group)) {
                child.add_ready(*id);
            }
        }
        // Who looks at the health of those that are not ready is told of it more often than its children are: what does
        // not change who is ready must not restart their rotations.
        if !self.heeds_health && self.groups.values().all(Child::sees_the_same) {
            return;
        }
        for child in self.groups.values_mut() {
            child.end(now, endpoints);
        }
    }

    /// The groups and their endpoints, by number.
    pub fn groups(&self) -> impl Iterator<Item = (u32, &Child)> {
        self.groups.iter().map(|(group, child)| (*group, child))
    }

    /// The endpoints of a group.
    pub fn get(&self, group: u32) -> Option<&Child> {
        self.groups.get(&group)
    }

    /// Asks the child of a group; a group that does not exist has nobody.
    pub fn pick(&mut self, group: u32, now: Instant, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        match self.groups.get_mut(&group) {
            Some(child) => child.pick(now, request, endpoints),
            None => Pick::nobody(&endpoints.narrowed(&[], &[])),
        }
    }

    /// Tells the child that owns the endpoint.
    pub fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>, endpoints: &Endpoints<'_>) {
        if let Some(child) = self.owners.get(feedback.endpoint()).and_then(|group| self.groups.get_mut(group)) {
            child.on_feedback(now, feedback, endpoints);
        }
    }

    /// What some child wants.
    pub fn poll_want(&mut self) -> Option<Want> {
        self.groups.values_mut().find_map(|child| child.balancer.poll_want())
    }

    /// When the first child wants to be woken.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.groups.values().filter_map(|child| child.balancer.next_timeout()).min()
    }

    /// Wakes the children whose time has come.
    pub fn on_timeout(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        for child in self.groups.values_mut() {
            child.on_timeout(now, endpoints);
        }
    }

    /// True if the children leave connecting to the channel.
    pub fn connects_all(&self) -> bool {
        self.connects_all
    }

    /// True if the children [only pick](Balancer::only_picks).
    pub fn only_picks(&self) -> bool {
        self.only_picks
    }

    /// True if the children [look at health](Balancer::heeds_health).
    pub fn heeds_health(&self) -> bool {
        self.heeds_health
    }

    /// The gauges of all children.
    pub fn gauges(&self, visit: &mut dyn FnMut(&'static str, EndpointId, f64)) {
        for child in self.groups.values() {
            child.balancer.gauges(visit);
        }
    }
}

impl std::fmt::Debug for Children {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Children").field("spec", &self.spec).field("groups", &self.groups).finish_non_exhaustive()
    }
}

/// A child and the endpoints that it is responsible for.
pub struct Child {
    balancer: Box<dyn Balancer>,
    members: Vec<EndpointId>,
    ready: Vec<EndpointId>,
    /// Who counts as ready.
    eligible: Eligible,
    /// What the child was last told of each member.
    told: Vec<Sight>,
    /// What it is to be told, while the endpoints are being shared out.
    next: Vec<Sight>,
    next_ready: Vec<EndpointId>,
}

/// All that a balancer is told about when it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sight {
    id: EndpointId,
    weight: u32,
    zone: ZoneId,
    connectivity: Connectivity,
    health: Health,
    announced: Health,
    metadata: Metadata,
}

impl Sight {
    pub(super) fn of(endpoint: &Endpoint, endpoints: &Endpoints<'_>) -> Sight {
        let Endpoint { id, weight, zone, connectivity, health, .. } = *endpoint;
        let metadata = endpoints.table.metadata(id).clone();
        Sight { id, weight, zone, connectivity, health, announced: endpoint.announced(), metadata }
    }

    /// The same, for a child that is not told how connections fare.
    pub(super) fn whatever_its_connection(self) -> Sight {
        Sight { connectivity: Connectivity::Ready, ..self }
    }

    /// True if nothing but what a health checker thinks tells the two apart.
    pub(super) fn is_but_for_health(&self, other: &Sight) -> bool {
        Sight { health: other.health, ..self.clone() } == *other
    }
}

impl Child {
    /// A child that has been told nothing yet.
    pub fn new(balancer: Box<dyn Balancer>) -> Child {
        let (members, ready) = (vec![], vec![]);
        Child { balancer, members, ready, eligible: Eligible::Ready, told: vec![], next: vec![], next_ready: vec![] }
    }

    /// Its endpoints, in the order of the list.
    pub fn members(&self) -> &[EndpointId] {
        &self.members
    }

    /// Those of them that can be picked.
    pub fn ready(&self) -> &[EndpointId] {
        &self.ready
    }

    /// Makes it responsible for the members that are chosen, and tells it if that changed anything for it.
    pub fn show(&mut self, now: Instant, endpoints: &Endpoints<'_>, is_chosen: impl Fn(EndpointId) -> bool) {
        self.begin(Eligible::Ready);
        let chosen = endpoints.members.iter().filter(|id| is_chosen(**id));
        self.next.extend(chosen.filter_map(|id| endpoints.get(*id)).map(|endpoint| Sight::of(endpoint, endpoints)));
        self.next_ready.extend(endpoints.ready.iter().copied().filter(|id| is_chosen(*id)));
        self.end(now, endpoints);
    }

    /// Asks it.
    pub fn pick(&mut self, now: Instant, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        let Child { balancer, members, ready, eligible, .. } = self;
        balancer.pick(now, request, &seen(endpoints, members, ready, *eligible))
    }

    /// Brings it what was learned.
    pub fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>, endpoints: &Endpoints<'_>) {
        let Child { balancer, members, ready, eligible, .. } = self;
        balancer.on_feedback(now, feedback, &seen(endpoints, members, ready, *eligible));
    }

    /// Wakes it, if its time has come.
    pub fn on_timeout(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        if self.balancer.next_timeout().is_some_and(|at| at <= now) {
            let Child { balancer, members, ready, eligible, .. } = self;
            balancer.on_timeout(now, &seen(endpoints, members, ready, *eligible));
        }
    }

    /// The balancer itself, for what needs no endpoints.
    pub fn balancer(&self) -> &dyn Balancer {
        &*self.balancer
    }

    /// What it wants done.
    pub fn poll_want(&mut self) -> Option<Want> {
        self.balancer.poll_want()
    }

    /// Begins to make it responsible for others: those who are added until [`Self::end`]. Those of them count as ready
    /// that are eligible.
    pub(super) fn begin(&mut self, eligible: Eligible) {
        self.eligible = eligible;
        self.next.clear();
        self.next_ready.clear();
    }

    /// Adds the next of the list.
    pub(super) fn add(&mut self, endpoint: &Endpoint, endpoints: &Endpoints<'_>) {
        self.next.push(Sight::of(endpoint, endpoints));
        let seen = Endpoints { eligible: self.eligible.max(endpoints.eligible), ..*endpoints };
        if self.eligible != Eligible::Ready && seen.is_ready(endpoint.id) {
            self.next_ready.push(endpoint.id);
        }
    }

    /// Adds the next of those that were added and can be picked.
    pub(super) fn add_ready(&mut self, id: EndpointId) {
        if self.eligible == Eligible::Ready {
            self.next_ready.push(id);
        }
    }

    /// True if nobody has been added since [`Self::begin`].
    pub(super) fn has_none_yet(&self) -> bool {
        self.next.is_empty()
    }

    /// True if it is to be told nothing but what a health checker thinks of those that are not ready.
    fn sees_the_same(&self) -> bool {
        let same = |(next, told): (&Sight, &Sight)| next.is_but_for_health(told);
        self.next_ready == self.ready
            && self.next.len() == self.told.len()
            && self.next.iter().zip(&self.told).all(same)
    }

    /// Tells the child, unless all is as it was: what happens to others must not restart its rotation.
    pub(super) fn end(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        if self.next == self.told && self.next_ready == self.ready {
            return;
        }
        std::mem::swap(&mut self.next, &mut self.told);
        std::mem::swap(&mut self.next_ready, &mut self.ready);
        self.members.clear();
        self.members.extend(self.told.iter().map(|sight| sight.id));
        let Child { balancer, members, ready, eligible, .. } = self;
        balancer.on_endpoints(now, &seen(endpoints, members, ready, *eligible));
    }

    /// How many of its endpoints are thought to serve: those that are ready and, where the child connects only
    /// whom it needs, those that nobody has tried yet.
    pub fn serving(&self, connects_all: bool) -> usize {
        let untried = |sight: &&Sight| sight.connectivity == Connectivity::Idle && sight.health == Health::Healthy;
        let idle = if connects_all { 0 } else { self.told.iter().filter(untried).count() };
        self.ready.len() + idle
    }
}

/// What a child is shown: its own endpoints, and as ready who is eligible for it or for its parent.
fn seen<'b>(
    endpoints: &Endpoints<'b>,
    members: &'b [EndpointId],
    ready: &'b [EndpointId],
    eligible: Eligible,
) -> Endpoints<'b> {
    Endpoints { eligible: eligible.max(endpoints.eligible), ..endpoints.narrowed(members, ready) }
}

impl std::fmt::Debug for Child {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Child").field("members", &self.members).field("ready", &self.ready).finish_non_exhaustive()
    }
}
