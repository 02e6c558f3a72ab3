//! What each actor may do next, and what comes of it. Every step calls the code under test through the variant; what a step
//! must not do is noted in `World::broken`.

use std::sync::Arc;

use sluice_policy::MilliCpu;
use sluice_policy::ledger::{
    Account, Ask, Enforcement, Found, Hold, Outcome, Request, Revision, Run, Step as ExpireStep,
};

use crate::variant::Variant;
use crate::world::{Attempt, Object, Phase, Scenario, What, World, hold_id, key};

/// One step of one actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The API server calls the webhook.
    Send {
        attempt: usize,
    },
    /// A replica evaluates all that waits for a quota, and writes. `lost`: it never hears that the write succeeded.
    Round {
        replica: usize,
        quota: usize,
        lost: bool,
    },
    /// The answer "allowed" reaches the API server.
    Answer {
        attempt: usize,
    },
    /// The connection breaks before the answer.
    HangUp {
        attempt: usize,
    },
    /// A replica takes back a hold of an attempt that it never answered.
    TakeBack {
        index: usize,
    },
    /// A replica dies.
    Crash {
        replica: usize,
    },
    /// The write of an allowed request reaches the store, late or not.
    Put {
        attempt: usize,
    },
    /// It never does: another webhook refuses, the API server dies.
    Abort {
        attempt: usize,
    },
    /// A charge falls.
    Fall {
        index: usize,
    },
    /// A write that changes no charge.
    Touch {
        name: usize,
    },
    Delete {
        name: usize,
    },
    /// A limit is edited.
    Limit {
        index: usize,
    },
    /// A leader's watch catches up.
    Look {
        leader: usize,
    },
    /// A leader counts a quota from what it saw last.
    Confirm {
        leader: usize,
        quota: usize,
    },
    /// A leader takes a hold for undecided.
    Expire {
        quota: usize,
        hold: usize,
    },
}

pub fn actions(scenario: &Scenario, world: &World, out: &mut Vec<Action>) {
    for (attempt, request) in world.attempts.iter().enumerate() {
        match request.phase {
            Phase::Idle if sendable(scenario, world, attempt) => out.push(Action::Send { attempt }),
            Phase::Granted => {
                out.push(Action::Answer { attempt });
                hang_up(world, attempt, out);
            }
            Phase::Waiting(_) => hang_up(world, attempt, out),
            Phase::Allowed => {
                out.push(Action::Put { attempt });
                out.push(Action::Abort { attempt });
            }
            Phase::Idle | Phase::Over => {}
        }
    }
    for replica in 0..scenario.replicas {
        for quota in 0..world.quotas.len() {
            let mut waiting = (0..world.attempts.len())
                .filter(|attempt| waits(scenario, world, *attempt, replica, quota));
            if waiting.next().is_some() {
                out.push(Action::Round {
                    replica,
                    quota,
                    lost: false,
                });
                if world.budget.lost > 0 {
                    out.push(Action::Round {
                        replica,
                        quota,
                        lost: true,
                    });
                }
            }
        }
        if world.budget.crashes > 0 && busy(scenario, world, replica) {
            out.push(Action::Crash { replica });
        }
    }
    out.extend((0..world.take_backs.len()).map(|index| Action::TakeBack { index }));
    for (index, (name, to)) in scenario.falls.iter().enumerate() {
        if world.budget.falls[index]
            && world.objects[*name]
                .as_ref()
                .is_some_and(|object| object.charge > *to)
        {
            out.push(Action::Fall { index });
        }
    }
    for name in 0..world.objects.len() {
        if world.objects[name].is_some() {
            if world.budget.touches > 0 {
                out.push(Action::Touch { name });
            }
            if world.budget.deletes > 0 {
                out.push(Action::Delete { name });
            }
        }
    }
    out.extend(
        (0..scenario.limits.len())
            .filter(|index| world.budget.limits[*index])
            .map(|index| Action::Limit { index }),
    );
    for leader in 0..scenario.leaders {
        if world.budget.looks > 0 {
            out.push(Action::Look { leader });
        }
        if world.views[leader].is_some() {
            out.extend((0..world.quotas.len()).map(|quota| Action::Confirm { leader, quota }));
        }
    }
    if world.budget.expiries > 0 {
        for (quota, stored) in world.quotas.iter().enumerate() {
            out.extend(
                (0..stored.account.book.pending.len()).map(|hold| Action::Expire { quota, hold }),
            );
        }
    }
}

fn hang_up(world: &World, attempt: usize, out: &mut Vec<Action>) {
    if world.budget.hangups > 0 {
        out.push(Action::HangUp { attempt });
    }
}

fn sendable(scenario: &Scenario, world: &World, attempt: usize) -> bool {
    let plan = &scenario.plans[attempt];
    match plan.what {
        What::Create { .. } => true,
        What::Raise { to } => world.objects[plan.name]
            .as_ref()
            .is_some_and(|object| object.charge < to),
        What::Repeat { of } => matches!(
            world.attempts[of].phase,
            Phase::Waiting(_) | Phase::Granted | Phase::Allowed
        ),
    }
}

fn waits(scenario: &Scenario, world: &World, attempt: usize, replica: usize, quota: usize) -> bool {
    scenario.plans[attempt].replica == replica
        && world.attempts[attempt].phase == Phase::Waiting(quota)
}

fn busy(scenario: &Scenario, world: &World, replica: usize) -> bool {
    let waiting = |attempt: &usize| {
        scenario.plans[*attempt].replica == replica
            && matches!(
                world.attempts[*attempt].phase,
                Phase::Waiting(_) | Phase::Granted
            )
    };
    (0..world.attempts.len()).any(|attempt| waiting(&attempt))
        || world.take_backs.iter().any(|back| back.0 == replica)
}

pub fn next(scenario: &Scenario, before: &World, action: Action) -> Option<World> {
    let mut world = before.clone();
    match action {
        Action::Send { attempt } => send(scenario, &mut world, attempt),
        Action::Round {
            replica,
            quota,
            lost,
        } => round(scenario, &mut world, replica, quota, lost),
        Action::Answer { attempt } => answer(scenario, &mut world, attempt),
        Action::HangUp { attempt } => {
            world.budget.hangups -= 1;
            give_up(scenario, &mut world, attempt);
        }
        Action::TakeBack { index } => {
            let (_, quota, attempt) = world.take_backs.remove(index);
            if let Some(book) = world.quotas[quota]
                .account
                .book
                .release(&[hold_id(attempt)])
            {
                world.write(quota, book);
            }
        }
        Action::Crash { replica } => crash(scenario, &mut world, replica),
        Action::Put { attempt } => put(scenario, &mut world, attempt),
        Action::Abort { attempt } => over(&mut world, attempt),
        Action::Fall { index } => {
            let (name, to) = scenario.falls[index];
            world.budget.falls[index] = false;
            check_fall(scenario, &mut world, name, to);
            change(&mut world, name, |object| object.charge = to);
        }
        Action::Touch { name } => {
            world.budget.touches -= 1;
            change(&mut world, name, |_| {});
        }
        Action::Delete { name } => {
            world.budget.deletes -= 1;
            world.revision += 1;
            world.objects[name] = None;
        }
        Action::Limit { index } => {
            let (quota, hard) = scenario.limits[index];
            world.budget.limits[index] = false;
            let stored = Arc::make_mut(&mut world.quotas[quota]);
            world.excused |= MilliCpu(hard) < stored.account.hard;
            stored.version += 1;
            stored.account.generation += 1;
            stored.account.hard = MilliCpu(hard);
        }
        Action::Look { leader } => {
            let view = world.look(world.views[leader].as_deref());
            if world.views[leader].as_deref() == Some(&view) {
                return None;
            }
            world.budget.looks -= 1;
            world.views[leader] = Some(Arc::new(view));
        }
        Action::Confirm { leader, quota } => confirm(scenario, &mut world, leader, quota)?,
        Action::Expire { quota, hold } => {
            world.budget.expiries -= 1;
            expire(scenario, &mut world, quota, hold)?;
        }
    }
    check_removals(scenario, before, &mut world);
    Some(world)
}

fn change(world: &mut World, name: usize, what: impl FnOnce(&mut Object)) {
    world.revision += 1;
    let revision = world.revision;
    if let Some(object) = &mut world.objects[name] {
        what(object);
        object.revision = revision;
    }
}

fn send(scenario: &Scenario, world: &mut World, attempt: usize) {
    let plan = &scenario.plans[attempt];
    let phase = Phase::Waiting(0);
    world.attempts[attempt] = match plan.what {
        What::Create { to } => Attempt {
            phase,
            uid: format!("c{attempt}"),
            base: 0,
            from: 0,
            to,
        },
        What::Raise { to } => {
            let Some(object) = &world.objects[plan.name] else {
                return;
            };
            Attempt {
                phase,
                uid: object.uid.clone(),
                base: object.revision,
                from: object.charge,
                to,
            }
        }
        What::Repeat { of } => Attempt {
            phase,
            ..world.attempts[of].clone()
        },
    };
}

pub fn request(scenario: &Scenario, world: &World, attempt: usize) -> Request {
    let (plan, data) = (&scenario.plans[attempt], &world.attempts[attempt]);
    Request {
        hold: Hold {
            id: hold_id(attempt),
            object: key(plan.name),
            uid: data.uid.clone(),
            base: Revision(data.base),
            from: MilliCpu(data.from),
            to: MilliCpu(data.to),
            by: String::new(),
        },
        ask: if plan.growth { Ask::Growth } else { Ask::Start },
        enforcement: Enforcement::Enforce,
        run: Run::Real,
    }
}

/// The actor's round, as `sluice_webhook::ledger` does it: evaluate the newest copy known; where something is to be written,
/// write at that copy's version; where nothing is, answer only if the copy is live; else read live and come again.
fn round(scenario: &Scenario, world: &mut World, replica: usize, quota: usize, lost: bool) {
    let waiting: Vec<usize> = (0..world.attempts.len())
        .filter(|attempt| waits(scenario, world, *attempt, replica, quota))
        .collect();
    let requests: Vec<_> = waiting
        .iter()
        .map(|attempt| request(scenario, world, *attempt))
        .collect();
    let live = Arc::clone(&world.quotas[quota]);
    let copy = if scenario.stale_copies {
        Arc::clone(&world.copies[replica][quota])
    } else {
        Arc::clone(&live)
    };
    let current = copy.version == live.version;
    let outcome = scenario.variant.reserve(&copy.account, &requests);
    check_round(scenario, world, &copy.account, &requests, &outcome);
    if lost {
        world.budget.lost -= 1;
    }
    let believes = current || (scenario.variant == Variant::BlindWrite && outcome.write.is_some());
    if let Some(book) = outcome.write.filter(|_| believes) {
        if live.account.book.charge_fn == 0
            || live.account.book.observed_generation != live.account.generation
        {
            world.break_at("S10");
        }
        world.write(quota, book);
    }
    if scenario.stale_copies {
        world.copies[replica][quota] = Arc::clone(&world.quotas[quota]);
    }
    if !believes || lost {
        return;
    }
    for (attempt, outcome) in waiting.into_iter().zip(outcome.outcomes) {
        match outcome {
            Outcome::Admitted { over } => {
                world.excused |= over.is_some();
                world.attempts[attempt].phase = if quota + 1 < world.quotas.len() {
                    Phase::Waiting(quota + 1)
                } else {
                    Phase::Granted
                };
            }
            Outcome::Refused(_) => give_up(scenario, world, attempt),
            Outcome::Unneeded => world.break_at("S2"),
        }
        if world.attempts[attempt].phase == Phase::Waiting(quota) {
            world.break_at("L4");
        }
    }
}

fn answer(scenario: &Scenario, world: &mut World, attempt: usize) {
    let id = hold_id(attempt);
    let keeps = scenario.variant.keeps_holds() && scenario.variant != Variant::SharedHold;
    // A hold may be gone already if its write can no longer happen.
    if keeps
        && world.may_land(scenario, attempt)
        && !world
            .quotas
            .iter()
            .all(|quota| quota.account.book.holds(&id))
    {
        world.break_at("S8");
    }
    if matches!(scenario.plans[attempt].what, What::Repeat { .. }) {
        over(world, attempt);
    } else {
        world.attempts[attempt].phase = Phase::Allowed;
    }
}

/// The attempt will never be answered "allowed": its own holds, and no other, are to be taken back.
fn give_up(scenario: &Scenario, world: &mut World, attempt: usize) {
    let replica = scenario.plans[attempt].replica;
    for quota in 0..world.quotas.len() {
        if world.quotas[quota].account.book.holds(&hold_id(attempt)) {
            world.take_backs.push((replica, quota, attempt));
        }
    }
    over(world, attempt);
}

fn over(world: &mut World, attempt: usize) {
    world.attempts[attempt] = Attempt {
        phase: Phase::Over,
        uid: String::new(),
        base: 0,
        from: 0,
        to: 0,
    };
}

fn crash(scenario: &Scenario, world: &mut World, replica: usize) {
    world.budget.crashes -= 1;
    for attempt in 0..world.attempts.len() {
        if scenario.plans[attempt].replica == replica
            && matches!(
                world.attempts[attempt].phase,
                Phase::Waiting(_) | Phase::Granted
            )
        {
            over(world, attempt);
        }
    }
    world.take_backs.retain(|back| back.0 != replica);
}

fn put(scenario: &Scenario, world: &mut World, attempt: usize) {
    let data = world.attempts[attempt].clone();
    let plan = &scenario.plans[attempt];
    let lands = match plan.what {
        What::Create { .. } => world.objects[plan.name].is_none(),
        _ => world.may_land(scenario, attempt),
    };
    over(world, attempt);
    if !lands {
        return;
    }
    let held = |quota: &Account| {
        quota.book.pending.iter().any(|hold| {
            hold.uid == data.uid
                && hold.base.0 == data.base
                && hold.from.0 == data.from
                && hold.to.0 == data.to
        })
    };
    if scenario.variant.keeps_holds() && !world.quotas.iter().all(|quota| held(&quota.account)) {
        world.break_at("S3");
    }
    world.revision += 1;
    world.objects[plan.name] = Some(Object {
        uid: data.uid,
        revision: world.revision,
        charge: data.to,
    });
}

fn confirm(scenario: &Scenario, world: &mut World, leader: usize, quota: usize) -> Option<()> {
    let view = world.views[leader].clone()?;
    let old = world.quotas[quota].account.book.clone();
    let book = scenario
        .variant
        .confirm(&world.quotas[quota].account, &view)
        .ok()
        .flatten()?;
    if book == old {
        return None;
    }
    let back = old
        .snapshot
        .iter()
        .any(|(resource, at)| book.snapshot.get(resource).is_none_or(|new| new < at));
    if back || book.confirmed.0 != view.truth {
        world.break_at("S4");
    }
    world.write(quota, book);
    Some(())
}

fn expire(scenario: &Scenario, world: &mut World, quota: usize, index: usize) -> Option<()> {
    let hold = world.quotas[quota].account.book.pending[index].clone();
    let name = (0..world.objects.len()).find(|name| key(*name) == hold.object)?;
    let found = match &world.objects[name] {
        Some(object) if object.uid == hold.uid => Found::At(Revision(object.revision)),
        _ => Found::Absent,
    };
    match scenario.variant.expire(&hold, &found) {
        ExpireStep::LeaveToConfirm => return None,
        ExpireStep::Fence => change(world, name, |_| {}),
        ExpireStep::Drop => {
            // The one timing assumption: no create lands later than its hold expires.
            let owner = (0..world.attempts.len()).find(|attempt| hold_id(*attempt) == hold.id)?;
            if hold.is_create() && world.may_land(scenario, owner) {
                return None;
            }
            let book = world.quotas[quota]
                .account
                .book
                .release(std::slice::from_ref(&hold.id))?;
            world.write(quota, book);
        }
    }
    Some(())
}

/// S1 (an admission leaves usage within the limit), S6 and S7, at the moment of evaluation.
fn check_round(
    scenario: &Scenario,
    world: &mut World,
    account: &Account,
    requests: &[Request],
    round: &sluice_policy::ledger::Round,
) {
    let variant = scenario.variant;
    let after = round.write.as_ref().unwrap_or(&account.book);
    let let_through = round
        .outcomes
        .iter()
        .any(|outcome| matches!(outcome, Outcome::Admitted { over: Some(_) }));
    if round.write.is_some() && !let_through && variant.usage(after) > account.hard {
        world.break_at("S1");
    }
    let transition = |hold: &Hold| (hold.uid.clone(), hold.base);
    let held: Vec<_> = account.book.pending.iter().map(transition).collect();
    if requests
        .iter()
        .all(|request| held.contains(&transition(&request.hold)))
        && requests.iter().all(|request| {
            account
                .book
                .pending
                .iter()
                .any(|hold| hold.to >= request.hold.to)
        })
        && variant.usage(after) != variant.usage(&account.book)
    {
        world.break_at("S6");
    }
    if let Some(first) = requests.first() {
        let dry = variant.reserve(
            account,
            &[Request {
                run: Run::DryRun,
                ..first.clone()
            }],
        );
        let real = variant.reserve(account, std::slice::from_ref(first));
        if variant == Variant::Real && (dry.write.is_some() || dry.outcomes != real.outcomes) {
            world.break_at("S7");
        }
    }
}

/// S2: what lowers a charge gets no refusal from any quota, in whatever state it is.
fn check_fall(scenario: &Scenario, world: &mut World, name: usize, to: u64) {
    let Some(object) = world.objects[name].clone() else {
        return;
    };
    let request = Request {
        hold: Hold {
            id: "fall".into(),
            object: key(name),
            uid: object.uid,
            base: Revision(object.revision),
            from: MilliCpu(object.charge),
            to: MilliCpu(to),
            by: String::new(),
        },
        ask: Ask::Growth,
        enforcement: Enforcement::Enforce,
        run: Run::Real,
    };
    let refused = world.quotas.iter().any(|quota| {
        let round = scenario
            .variant
            .reserve(&quota.account, std::slice::from_ref(&request));
        round.write.is_some() || round.outcomes != [Outcome::Unneeded]
    });
    if refused && scenario.variant.keeps_holds() {
        world.break_at("S2");
    }
}

/// S5: a hold goes by cover, by proof that its write cannot happen, or by its own attempt before it answered. In each of
/// these cases the write cannot happen any more (or has).
fn check_removals(scenario: &Scenario, before: &World, world: &mut World) {
    for quota in 0..world.quotas.len() {
        if Arc::ptr_eq(&before.quotas[quota], &world.quotas[quota]) {
            continue;
        }
        for attempt in 0..world.attempts.len() {
            let id = hold_id(attempt);
            let gone = before.quotas[quota].account.book.holds(&id)
                && !world.quotas[quota].account.book.holds(&id);
            if gone && world.may_land(scenario, attempt) {
                world.break_at("S5");
            }
        }
    }
}
