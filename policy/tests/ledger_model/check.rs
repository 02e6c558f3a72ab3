//! What must hold in every state, and the checker that is run over a scenario.

use std::time::{Duration, Instant};

use sluice_policy::MilliCpu;
use sluice_policy::ledger::{
    Ask, Enforcement, Found, Hold, Outcome, Reason, Request, Revision, Run, Scope, Step, confirm,
    expire, reserve,
};
use stateright::{Checker, Model, Property};

use crate::step::{Action, actions, next};
use crate::variant::Variant;
use crate::world::{Phase, Scenario, World, key};

/// Invariants that a step may break, and what is checked in states.
pub const INVARIANTS: [&str; 10] = ["S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8", "S10", "L4"];

/// What the first design claimed and the checker refutes; see `scenarios::names_are_used_again`.
pub const USAGE_WITHIN_LIMIT: &str = "usage is always within the limit";

const ADMITTED: &str = "something was admitted";

pub struct Ledger(pub Scenario);

macro_rules! unbroken {
    ($($name:literal),*) => { vec![$(Property::always($name, |_: &Ledger, world: &World| world.broken != Some($name))),*] };
}

impl Model for Ledger {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(&self.0)]
    }

    fn actions(&self, world: &World, out: &mut Vec<Action>) {
        if world.broken.is_none() {
            actions(&self.0, world, out);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        next(&self.0, world, action).filter(|next| next != world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = unbroken!("S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8", "S10", "L4");
        all.push(Property::always(
            "S1 live is within usage",
            live_within_usage,
        ));
        all.push(Property::always(
            "S1 live is within the limit",
            live_within_limit,
        ));
        all.push(Property::always(
            "L1, L2, L3 when all is quiet",
            quiet_is_exact,
        ));
        all.push(Property::sometimes(
            ADMITTED,
            |model: &Ledger, world: &World| world.live() > model.0.objects.iter().flatten().sum(),
        ));
        if self.0.claims_usage_within_limit {
            all.push(Property::always(
                USAGE_WITHIN_LIMIT,
                |_: &Ledger, world: &World| {
                    world.excused
                        || world
                            .quotas
                            .iter()
                            .all(|quota| quota.account.book.usage() <= quota.account.hard)
                },
            ));
        }
        all
    }
}

fn live_within_usage(model: &Ledger, world: &World) -> bool {
    world.quotas.iter().all(|quota| {
        let book = &quota.account.book;
        book.charge_fn == 0 || world.live() <= model.0.variant.usage(book).0
    })
}

fn live_within_limit(_: &Ledger, world: &World) -> bool {
    world.excused
        || world
            .quotas
            .iter()
            .all(|quota| quota.account.book.charge_fn == 0 || world.live() <= quota.account.hard.0)
}

/// L1: when nothing is under way, a leader's ordinary work leaves no hold and an exact count (L3: what has ended is not in
/// it). L2: then a lone request for exactly what is left is admitted, and one more is refused with the right reason.
fn quiet_is_exact(model: &Ledger, world: &World) -> bool {
    let under_way = |phase: &Phase| !matches!(phase, Phase::Idle | Phase::Over);
    if world
        .attempts
        .iter()
        .any(|attempt| under_way(&attempt.phase))
        || model.0.variant == Variant::CounterAndRecount
    {
        return true;
    }
    let mut world = world.clone();
    for _ in 0..2 {
        settle(&mut world);
    }
    let live = world.live();
    world.quotas.iter().all(|quota| {
        let account = &quota.account;
        if !account.book.pending.is_empty() || account.book.confirmed.0 != live || account.book.charge_fn == 0 {
            return false;
        }
        let left = account.hard.0.saturating_sub(live);
        let fits = left == 0 || matches!(ask(account, left), Outcome::Admitted { over: None });
        let more = matches!(ask(account, left + 1), Outcome::Refused(refusal) if refusal.reason == Reason::OverLimit);
        fits && more
    })
}

fn ask(account: &sluice_policy::ledger::Account, cpu: u64) -> Outcome {
    let hold = Hold {
        id: "lone".into(),
        object: key(99),
        uid: "lone".into(),
        base: Revision::NONE,
        from: MilliCpu(0),
        to: MilliCpu(cpu),
        by: String::new(),
    };
    let request = Request {
        hold,
        ask: Ask::Start,
        enforcement: Enforcement::Enforce,
        run: Run::DryRun,
    };
    reserve(account, &[request]).outcomes.remove(0)
}

/// One tour of a leader: look, count, and see to what is undecided.
fn settle(world: &mut World) {
    let view = world.look(None);
    for quota in 0..world.quotas.len() {
        if let Ok(Some(book)) = confirm(
            &world.quotas[quota].account,
            &Scope::Everywhere,
            &view.inventory,
        ) {
            world.write(quota, book);
        }
        for hold in world.quotas[quota].account.book.pending.clone() {
            let name = (0..world.objects.len())
                .find(|name| key(*name) == hold.object)
                .unwrap();
            let found = match &world.objects[name] {
                Some(object) if object.uid == hold.uid => Found::At(Revision(object.revision)),
                _ => Found::Absent,
            };
            match expire::decide(&hold, &found) {
                Step::LeaveToConfirm => {}
                Step::Fence => {
                    world.revision += 1;
                    let revision = world.revision;
                    if let Some(object) = &mut world.objects[name] {
                        object.revision = revision;
                    }
                }
                Step::Drop => {
                    if let Some(book) = world.quotas[quota].account.book.release(&[hold.id]) {
                        world.write(quota, book);
                    }
                }
            }
        }
    }
}

/// What a run of the checker came to.
pub struct Report {
    pub states: usize,
    pub depth: usize,
    pub complete: bool,
    pub refuted: Vec<(&'static str, Vec<Action>)>,
}

/// Runs the checker over a scenario, breadth first so that counterexamples are short.
pub fn run(name: &str, scenario: Scenario, limit: Duration) -> Report {
    let start = Instant::now();
    let checker = Ledger(scenario)
        .checker()
        .threads(2)
        .timeout(limit)
        .spawn_bfs()
        .join();
    let discoveries = checker.discoveries();
    assert!(
        discoveries.contains_key(ADMITTED) || !checker.is_done(),
        "{name}: nothing was ever admitted"
    );
    let mut refuted: Vec<_> = discoveries
        .into_iter()
        .filter(|(property, _)| *property != ADMITTED)
        .map(|(property, path)| (property, path.into_actions()))
        .collect();
    refuted.sort_by_key(|(property, _)| *property);
    let report = Report {
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        // A checker that ran out of time says that it is done.
        complete: checker.is_done() && start.elapsed() < limit,
        refuted,
    };
    println!(
        "{name}: {} states ({} generated), depth {}, {:.1} s, {}",
        report.states,
        checker.state_count(),
        report.depth,
        start.elapsed().as_secs_f32(),
        if report.complete {
            "complete"
        } else {
            "stopped at the time limit"
        },
    );
    for (property, path) in &report.refuted {
        println!("  {property} refuted by");
        for action in path {
            println!("    {action:?}");
        }
    }
    report
}

/// The real code holds all invariants over the whole scenario.
pub fn holds(name: &str, scenario: Scenario) {
    let least = 1000;
    let states = sound(name, scenario);
    assert!(
        states > least,
        "{name}: only {states} states: the scenario is empty"
    );
}

fn sound(name: &str, scenario: Scenario) -> usize {
    assert_eq!(scenario.variant, Variant::Real);
    let report = run(name, scenario, Duration::from_mins(10));
    assert!(report.refuted.is_empty(), "{name}: {:?}", report.refuted);
    assert!(report.complete, "{name}: not explored to the end");
    report.states
}

/// The checker finds out the variant, by one of these invariants.
pub fn refuted(name: &str, scenario: Scenario, by: &[&str]) {
    assert_ne!(scenario.variant, Variant::Real);
    let right = Scenario {
        variant: Variant::Real,
        ..scenario.clone()
    };
    let report = run(name, scenario, Duration::from_mins(5));
    let found: Vec<_> = report
        .refuted
        .iter()
        .map(|(property, _)| *property)
        .collect();
    assert!(
        by.iter().all(|property| found.contains(property)),
        "{name}: expected {by:?}, found {found:?}"
    );
    sound(&format!("{name}, done right"), right);
}

#[test]
fn every_invariant_is_a_property() {
    let names: Vec<_> = Ledger(Scenario::default())
        .properties()
        .iter()
        .map(|property| property.name)
        .collect();
    assert!(INVARIANTS.iter().all(|invariant| names.contains(invariant)));
}
